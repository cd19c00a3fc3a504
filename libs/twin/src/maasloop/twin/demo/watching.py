"""What the platform says while the play goes on: states of commands as they change, and rows as they are written."""

import asyncio
from collections import Counter

import structlog

from maasloop.api.command.v1.command_pb2 import Command
from maasloop.api.command.v1.events_pb2 import CommandChanged
from maasloop.api.observation.v1.series_service_pb2 import CustodyBalance, GetCustodyBalanceRequest
from maasloop.api.observation.v1.series_service_pb2_grpc import SeriesServiceStub
from maasloop.bus.subjects import COMMAND_DISPATCHED, COMMAND_ISSUED, COMMAND_SETTLED
from maasloop.core.errors import MaasloopError
from maasloop.core.ids import DistrictName
from maasloop.rpc.client import call
from maasloop.twin.demo.places import Connections

BALANCE_EVERY_S = 1.0

log = structlog.get_logger(__name__)


def state_name(state: Command.State.ValueType) -> str:
    """Return the name of a state without its prefix."""
    return Command.State.Name(state).removeprefix("STATE_")


class Watching:
    """Follows one district."""

    def __init__(self, connections: Connections, district: str) -> None:
        """Prepare; ``listen`` begins, ``run`` is a task."""
        self.balance = CustodyBalance()
        self._bus = connections.bus
        self._series = SeriesServiceStub(connections.timeseries)
        self._district = district
        self._states: dict[str, Command.State.ValueType] = {}

    @property
    def commands_by_state(self) -> Counter[str]:
        """Return how many commands stand where."""
        return Counter(state_name(state) for state in self._states.values())

    async def listen(self) -> None:
        """Hear every change of a command."""
        for fact in (COMMAND_ISSUED, COMMAND_DISPATCHED, COMMAND_SETTLED):
            await self._bus.listen(fact.wildcard(self._district), self._hear)

    async def run(self) -> None:
        """Ask for the balance once in a while."""
        while True:
            try:
                self.balance = await self.ask_balance()
            except MaasloopError as error:
                log.debug("balance_not_read", why=error.message)
            await asyncio.sleep(BALANCE_EVERY_S)

    async def ask_balance(self) -> CustodyBalance:
        """Return the custody balance of the district."""
        request = GetCustodyBalanceRequest(parent=str(DistrictName(self._district)))
        return await call(self._series.GetCustodyBalance, request)

    async def _hear(self, message: object) -> None:
        command = CommandChanged.FromString(getattr(message, "data", b"")).command
        self._states[command.name] = max(command.state, self._states.get(command.name, command.state))
