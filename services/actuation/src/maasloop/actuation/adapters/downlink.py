"""The native driver: a command as protobuf JSON on the device's own subject, which MQTT devices hear as a topic.

Best effort by design: nothing is stored on the way, so that an absent device can fill nothing.
"""

import json

import structlog

from maasloop.actuation.domain.command import Command
from maasloop.actuation.domain.setpoint_json import to_json
from maasloop.bus import subjects
from maasloop.bus.connection import Bus
from maasloop.telemetry import metrics

SENT = metrics.counter(
    "maasloop_actuation_downlinks_total", "Commands handed to devices, repetitions included", ["outcome"]
)

_log = structlog.get_logger()


class NativeDownlink:
    """Speaks the native device protocol over NATS."""

    def __init__(self, bus: Bus) -> None:
        """Send over this connection."""
        self._bus = bus

    async def send(self, command: Command) -> None:
        """Publish once, without proof."""
        subject = subjects.downlink(command.district, command.device, subjects.DownlinkKind.COMMANDS)
        try:
            await self._bus.tell(subject, device_command(command))
        except Exception as error:
            # Best effort: it is sent again until it is answered.
            SENT.labels("failed").inc()
            _log.warning("downlink_failed", command=command.id, device=command.device, error=repr(error))
        else:
            SENT.labels("sent").inc()


def device_command(command: Command) -> bytes:
    """Return the protobuf JSON of ``DeviceCommand``."""
    body = {
        "commandId": command.id,
        "device": command.device,
        "setpoint": to_json(command.setpoint),
        "notBeforeTimeUs": str(command.not_before_us),
        "expireTimeUs": str(command.expire_us),
    }
    return json.dumps(body, separators=(",", ":")).encode()
