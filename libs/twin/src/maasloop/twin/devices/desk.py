"""Where commands arrive at the devices of a district: checked, counted, and handed to the gateway that speaks for them."""

from collections import Counter
from collections.abc import Callable
from typing import Protocol

import structlog

from maasloop.api.command.v1.command_pb2 import DeviceCommand
from maasloop.identity.command_keys import Keys
from maasloop.identity.commands import CommandGuard, CommandRefused, Opened
from maasloop.twin.devices.commands import Answer, CommandMalformed, read_command

log = structlog.get_logger(__name__)


class Gateway(Protocol):
    """Who hears commands for itself and for others."""

    id: str
    heard_devices: tuple[str, ...]

    def hear(self, command: DeviceCommand) -> Answer | None:
        """Take a command; ``None`` where nobody answers."""
        ...


class CommandDesk:
    """Takes what arrives on the topics of devices. Nothing reaches a device but what its guard lets through."""

    def __init__(
        self,
        district: str,
        keys: Keys | None,
        *,
        street_us: Callable[[], int],
        arrived: Callable[[DeviceCommand], None],
    ) -> None:
        """Obey what these keys signed; without keys, anybody. ``arrived`` is told of every command at its device.

        ``street_us`` is what the clock of the street shows.
        """
        self._district = district
        self._keys = keys
        self._street_us = street_us
        self._arrived = arrived
        self._gateways: dict[str, Gateway] = {}
        self._guards: dict[str, CommandGuard] = {}
        self._answers: dict[str, Answer | None] = {}
        self.refused: Counter[str] = Counter()
        """What no device took, by reason."""
        self.repeated = 0
        """Envelopes that came again."""

    def add(self, gateway: Gateway) -> None:
        """Let a gateway hear."""
        self._gateways[gateway.id] = gateway
        if self._keys is not None:
            self._guards[gateway.id] = CommandGuard(self._district, gateway.heard_devices, self._keys)

    @property
    def guards(self) -> tuple[CommandGuard, ...]:
        """Return who stands before the devices."""
        return tuple(self._guards.values())

    def hear(self, gateway: str, device: str, envelope: bytes) -> Answer | None:
        """Take what arrived at a gateway on a device's topic, and return what is said to it."""
        try:
            opened = self._opened(gateway, device, envelope)
            if opened.repeated:
                self.repeated += 1
                return self._answers.get(device)
            command = read_command(opened.payload)
        except (CommandMalformed, CommandRefused) as error:
            self._refuse(device, error)
            return None
        answer = self._answers[device] = self._gateways[gateway].hear(command)
        self._arrived(command)
        return answer

    def _opened(self, gateway: str, device: str, envelope: bytes) -> Opened:
        guard = self._guards.get(gateway)
        if guard is None:
            return Opened(envelope, repeated=False)
        return guard.open(envelope, device=device, now_us=self._street_us())

    def _refuse(self, device: str, error: CommandMalformed | CommandRefused) -> None:
        reason = str(error.reason) if isinstance(error, CommandRefused) else "MALFORMED"
        self.refused[reason] += 1
        if self.refused[reason] == 1:
            # Once a reason: whoever sends forged commands does not fill a disk with them.
            log.warning("command_refused", device=device, reason=reason, why=str(error))
