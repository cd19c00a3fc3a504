"""Be a device: send one reading over MQTT 3.1.1 with QoS 1 and wait for the PUBACK. Needs paho-mqtt."""

import json
import sys
from pathlib import Path

from paho.mqtt.client import CallbackAPIVersion, Client

host, port = sys.argv[1].removeprefix("mqtt://").split(":")
device = Client(CallbackAPIVersion.VERSION2, client_id="air-pier")
# Any user name; the password is the token, the second line of the credentials file.
device.username_pw_set("devices", Path(sys.argv[2]).read_text().splitlines()[1])
device.tls_set(ca_certs=sys.argv[3])
device.connect(host, int(port))
device.loop_start()
reading = {"observations": [{"property": "pm25", "value": float(sys.argv[4])}]}
sent = device.publish("dev/v1/delfshaven/air-pier/up/observations-json", json.dumps(reading), qos=1)
sent.wait_for_publish(timeout=10)
print("acknowledged" if sent.is_published() else "not acknowledged")
device.disconnect()
device.loop_stop()
