"""The native driver: a command under seal on the device's own subject, which MQTT devices hear as a topic.

Best effort by design: nothing is stored on the way, so that an absent device can fill nothing. A command that is sent
again is the same envelope, so that the field can tell a repetition from a replay; one whose envelope was forgotten, also
by a restart, is sealed anew, and the device knows its id.
"""

import json
from collections import OrderedDict

import structlog

from maasloop.actuation.domain.command import Command
from maasloop.actuation.domain.setpoint_json import to_json
from maasloop.bus import subjects
from maasloop.bus.connection import Bus
from maasloop.identity.commands import CommandSealer
from maasloop.telemetry import metrics

ENVELOPES_MAX = 4_096
"""Envelopes kept for repetition; a lamp's takes under a kilobyte."""

SENT = metrics.counter(
    "maasloop_actuation_downlinks_total", "Commands handed to devices, repetitions included", ["outcome"]
)

_log = structlog.get_logger()


class NativeDownlink:
    """Speaks the native device protocol over NATS."""

    def __init__(self, bus: Bus, sealer: CommandSealer | None) -> None:
        """Send over this connection; without a sealer commands are plain JSON, which no device of a city takes."""
        self._bus = bus
        self._sealer = sealer
        self._envelopes: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    async def send(self, command: Command) -> None:
        """Publish once, without proof."""
        subject = subjects.downlink(command.district, command.device, subjects.DownlinkKind.COMMANDS)
        try:
            await self._bus.tell(subject, self._body(command))
        except Exception as error:
            # Best effort: it is sent again until it is answered.
            SENT.labels("failed").inc()
            _log.warning("downlink_failed", command=command.id, device=command.device, error=repr(error))
        else:
            SENT.labels("sent").inc()

    def _body(self, command: Command) -> bytes:
        if self._sealer is None:
            return json.dumps(device_command(command), separators=(",", ":")).encode()
        known = (command.district, command.id)
        envelope = self._envelopes.get(known)
        if envelope is None:
            envelope = self._envelopes[known] = self._sealer.seal(device_command(command))
            if len(self._envelopes) > ENVELOPES_MAX:
                self._envelopes.popitem(last=False)
        return envelope


def device_command(command: Command) -> dict[str, object]:
    """Return ``DeviceCommand`` as protobuf JSON data, without what the seal adds."""
    return {
        "commandId": command.id,
        "district": command.district,
        "device": command.device,
        "setpoint": to_json(command.setpoint),
        "notBeforeTimeUs": str(command.not_before_us),
        "expireTimeUs": str(command.expire_us),
    }
