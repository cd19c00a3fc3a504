"""Which driver a device has: RSMP where its configuration says so, else the native protocol."""

from maasloop.actuation.adapters.downlink import NativeDownlink
from maasloop.actuation.adapters.rsmp.driver import RsmpDriver
from maasloop.actuation.domain.command import Command


class RoutedDownlink:
    """The drivers of all devices."""

    def __init__(self, native: NativeDownlink, rsmp: RsmpDriver) -> None:
        """Choose between these."""
        self._native = native
        self._rsmp = rsmp

    async def send(self, command: Command) -> None:
        """Hand a command to the driver of its device."""
        rsmp = self._rsmp.serves(command.district, command.device)
        await (self._rsmp if rsmp else self._native).send(command)
