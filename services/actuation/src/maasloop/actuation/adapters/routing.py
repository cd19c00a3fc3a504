"""Which driver a device has: RSMP where its configuration says so, else the native protocol."""

from maasloop.actuation import command_traces
from maasloop.actuation.adapters.downlink import NativeDownlink
from maasloop.actuation.adapters.rsmp.driver import RsmpDriver
from maasloop.actuation.domain.command import Command
from maasloop.telemetry import tracing


class RoutedDownlink:
    """The drivers of all devices."""

    def __init__(self, native: NativeDownlink, rsmp: RsmpDriver) -> None:
        """Choose between these."""
        self._native = native
        self._rsmp = rsmp

    async def send(self, command: Command) -> None:
        """Hand a command to the driver of its device."""
        rsmp = self._rsmp.serves(command.district, command.device)
        told = command_traces.parent(command.district, command.id)
        driver = "rsmp" if rsmp else "native"
        with tracing.follow("dispatch_command", told, district=command.district, command=command.id, driver=driver):
            await (self._rsmp if rsmp else self._native).send(command)
