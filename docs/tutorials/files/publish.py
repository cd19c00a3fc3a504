"""Be a device: send one reading over MQTT 3.1.1 with QoS 1 and wait for the PUBACK. Needs paho-mqtt."""

import json
import sys
from pathlib import Path
from queue import Queue

from paho.mqtt.client import CallbackAPIVersion, Client

host, port = sys.argv[1].removeprefix("mqtt://").split(":")
credential = json.loads(Path(sys.argv[2]).read_text())
answers = Queue()
device = Client(CallbackAPIVersion.VERSION2, client_id=credential["clientId"], reconnect_on_failure=False)
device.username_pw_set(credential["userName"], credential["password"])
device.tls_set(ca_certs=sys.argv[3])
# Its fourth argument is what the broker says to the name and the password.
device.on_connect = lambda *told: answers.put(told[3])
device.connect(host, int(port))
device.loop_start()
answer = answers.get(timeout=10)
if answer.is_failure:
    sys.exit(f"refused: {answer}")
reading = {"observations": [{"property": "pm25", "value": float(sys.argv[4])}]}
topic = f"dev/v1/{credential['userName']}/up/observations-json"
sent = device.publish(topic, json.dumps(reading), qos=1)
sent.wait_for_publish(timeout=10)
print("acknowledged" if sent.is_published() else "not acknowledged")
device.disconnect()
device.loop_stop()
