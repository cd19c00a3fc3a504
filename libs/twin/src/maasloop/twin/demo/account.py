"""The account in the end: every reading, command, fault and message, looked up where it must have left its trace."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from maasloop.api.command.v1.command_pb2 import Command
from maasloop.api.command.v1.command_service_pb2 import ListCommandsRequest, ReleaseDistrictRequest
from maasloop.api.command.v1.command_service_pb2_grpc import CommandServiceStub
from maasloop.api.command.v1.policy_service_pb2 import Policy, SetPolicyModeRequest
from maasloop.api.command.v1.policy_service_pb2_grpc import PolicyServiceStub
from maasloop.api.notification.v1.alert_pb2 import Delivery
from maasloop.api.notification.v1.notification_service_pb2 import ListDeliveriesRequest
from maasloop.api.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from maasloop.api.observation.v1.ingest_service_pb2 import ListQuarantineRequest
from maasloop.api.observation.v1.ingest_service_pb2_grpc import IngestServiceStub
from maasloop.api.observation.v1.observation_pb2 import ObservationColumns, QuarantineEntry
from maasloop.api.observation.v1.series_service_pb2 import CustodyBalance
from maasloop.core.clock import Clock
from maasloop.core.ids import CommandName, DistrictName
from maasloop.rpc.client import call
from maasloop.twin.demo.places import Connections
from maasloop.twin.demo.rows import Rows
from maasloop.twin.demo.watching import Watching, state_name
from maasloop.twin.devices.readings import Reading, from_columns, from_json
from maasloop.twin.play.faults import Fault
from maasloop.twin.play.ledger import Ledger
from maasloop.twin.play.run import Play

PAGE = 1_000
SETTLE_TIMEOUT_S = 30.0
DRAIN_TIMEOUT_S = 60.0
POLL_S = 0.25
TERMINAL_FROM = Command.State.STATE_VERIFIED
STORE = "timeseries"
COLUMNS = "application/protobuf"
JSON = "application/json"

log = structlog.get_logger(__name__)

type Condition = Callable[[], Awaitable[bool]]


@dataclass
class Account:
    """What was found."""

    balance: CustodyBalance = field(default_factory=CustodyBalance)
    rows_stored: int = 0
    readings_acknowledged: int = 0
    commands: list[Command] = field(default_factory=list)
    quarantined: list[QuarantineEntry] = field(default_factory=list)
    faults_injected: dict[Fault, int] = field(default_factory=dict)
    faults_accounted: dict[Fault, int] = field(default_factory=dict)

    @property
    def commands_by_state(self) -> Counter[str]:
        """Return how many commands ended where."""
        return Counter(state_name(command.state) for command in self.commands)

    @property
    def commands_open(self) -> int:
        """Return how many commands did not end, or ended without a reason."""
        return sum(command.state < TERMINAL_FROM or not command.reason for command in self.commands)

    def verified(self, *kinds: str) -> int:
        """Return how many commands with these kinds of setpoints were verified."""
        return sum(
            command.state == Command.State.STATE_VERIFIED and command.setpoint.WhichOneof("setpoint") in kinds
            for command in self.commands
        )


class Accountant:
    """Ends the play at the platform's side and draws the account."""

    def __init__(self, connections: Connections, play: Play, watching: Watching, rows: Rows, clock: Clock) -> None:
        """Look everything up for one district."""
        self._commands = CommandServiceStub(connections.actuation)
        self._policies = PolicyServiceStub(connections.actuation)
        self._ingest = IngestServiceStub(connections.ingest)
        self._notification = NotificationServiceStub(connections.notification)
        self._play = play
        self._watching = watching
        self._rows = rows
        self._clock = clock
        self._district = play.street.cast.district
        self._parent = str(DistrictName(self._district))

    async def end_control(self, policy: str) -> None:
        """Return the district to local control, and let its devices prove it."""
        await call(self._policies.SetPolicyMode, SetPolicyModeRequest(name=policy, mode=Policy.Mode.MODE_OFF))
        release = ReleaseDistrictRequest(name=self._parent, justification="The demo is over.")
        await call(self._commands.ReleaseDistrict, release)
        await self._play.epilogue(self._commands_ended)

    async def draw(self) -> Account:
        """Wait until nothing is under way any more, and return the account."""
        await self._play.doors.settle()
        await self._until(self._streams_empty, DRAIN_TIMEOUT_S)
        account = Account(balance=await self._watching.ask_balance(), rows_stored=await self._rows.count())
        account.commands = [command async for command in self._listed_commands()]
        account.quarantined = [entry async for entry in self._listed_quarantine()]
        refuse_quarantined(self._play.doors.ledger, account.quarantined)
        account.readings_acknowledged = self._play.doors.ledger.good_count
        account.faults_injected, account.faults_accounted = await self._faults(account)
        return account

    async def deliveries_done(self) -> None:
        """Wait until no delivery is under way, at most a while."""
        await self._until(self._nothing_pending, SETTLE_TIMEOUT_S)

    async def _faults(self, account: Account) -> tuple[dict[Fault, int], dict[Fault, int]]:
        injected = self._play.faults.injected
        dropped = [command for lamp in self._play.street.lamps for command in lamp.dropped]
        refused = [command for lamp in self._play.street.lamps for command in lamp.refused]
        counts = {**injected.counts(), Fault.SILENT: len(dropped), Fault.REFUSING: len(refused)}
        accounted = await self._readings_accounted(account, injected.readings)
        accounted[Fault.SILENT] = ended_badly(account.commands, dropped)
        accounted[Fault.REFUSING] = ended_badly(account.commands, refused)
        return counts, accounted

    async def _readings_accounted(self, account: Account, done: dict[Fault, list[Reading]]) -> dict[Fault, int]:
        causes = {command.cause for command in account.commands}
        late = [await self._rows.holds(one) and _cause(one) not in causes for one in done[Fault.LATE]]
        return {
            Fault.LATE: sum(late),
            Fault.DUPLICATE: self._duplicates(account, len(done[Fault.DUPLICATE])),
            Fault.CONFLICTING: found_in(account.quarantined, done[Fault.CONFLICTING], store=True),
            Fault.OUT_OF_RANGE: found_in(account.quarantined, done[Fault.OUT_OF_RANGE]),
            Fault.UNKNOWN_DEVICE: found_in(account.quarantined, done[Fault.UNKNOWN_DEVICE]),
        }

    def _duplicates(self, account: Account, injected: int) -> int:
        """Return how many duplicates the balance shows; what links sent again for want of a PUBACK may be more."""
        found = account.balance.duplicate_count
        return min(found, injected) if self._play.doors.resent_readings else found

    async def _until(self, done: Condition, timeout_s: float) -> None:
        end_s = self._clock.monotonic_s() + timeout_s
        while not await done():
            if self._clock.monotonic_s() > end_s:
                log.warning("waited_in_vain", waiting_for=done.__name__.strip("_"), seconds=timeout_s)
                return
            await asyncio.sleep(POLL_S)

    async def _commands_ended(self) -> bool:
        for state in (Command.State.STATE_ACCEPTED, Command.State.STATE_DISPATCHED, Command.State.STATE_ACKNOWLEDGED):
            request = ListCommandsRequest(parent=self._parent, state=state, page_size=1)
            if (await call(self._commands.ListCommands, request)).commands:
                return False
        return True

    async def _streams_empty(self) -> bool:
        balance = await self._watching.ask_balance()
        settled = _settled(balance)
        return balance.in_stream_count == 0 and settled == balance.accepted_count and await self._quiet(settled)

    async def _quiet(self, settled: int) -> bool:
        """Look twice: what is between a door and its stream is in nobody's count yet."""
        await asyncio.sleep(POLL_S)
        return _settled(await self._watching.ask_balance()) == settled

    async def _nothing_pending(self) -> bool:
        request = ListDeliveriesRequest(parent=self._parent, state=Delivery.State.STATE_PENDING, page_size=1)
        return not (await call(self._notification.ListDeliveries, request)).deliveries

    async def _listed_commands(self) -> AsyncIterator[Command]:
        token = ""
        while True:
            request = ListCommandsRequest(parent=self._parent, page_size=PAGE, page_token=token)
            page = await call(self._commands.ListCommands, request)
            for command in page.commands:
                yield command
            if not (token := page.next_page_token):
                return

    async def _listed_quarantine(self) -> AsyncIterator[QuarantineEntry]:
        token = ""
        while True:
            request = ListQuarantineRequest(parent=self._parent, page_size=PAGE, page_token=token)
            page = await call(self._ingest.ListQuarantine, request)
            for entry in page.entries:
                yield entry
            if not (token := page.next_page_token):
                return


def _settled(balance: CustodyBalance) -> int:
    return (
        balance.stored_count
        + balance.duplicate_count
        + balance.conflict_count
        + balance.quarantined_count
        + balance.refused_consent_count
        + balance.shed_count
        + balance.dead_lettered_count
    )


def balance_exact(balance: CustodyBalance) -> bool:
    """Tell whether everything accepted is accounted for, and nothing is lost."""
    return balance.accepted_count == _settled(balance) + balance.in_stream_count and balance.lost_count == 0


def quarantined_readings(entry: QuarantineEntry) -> list[Reading]:
    """Return the refused readings of an entry; none where good ones lie among them, or nothing was kept."""
    if entry.content_type.startswith(COLUMNS):
        return from_columns(ObservationColumns.FromString(entry.payload))
    if entry.content_type == JSON:
        whole = from_json(entry.payload)
        return whole if len(whole) == entry.reading_count else []
    return []


def refuse_quarantined(ledger: Ledger, entries: Sequence[QuarantineEntry]) -> None:
    """Take what doors refused out of what counts as acknowledged; a conflict at the store has a good first reading."""
    for entry in entries:
        if entry.door != STORE:
            ledger.refuse(quarantined_readings(entry), entry.reason)


def found_in(entries: Sequence[QuarantineEntry], wanted: Sequence[Reading], *, store: bool = False) -> int:
    """Count which of the wanted readings lie in quarantine, put there by a door, or by the store."""
    there = {reading for entry in entries if (entry.door == STORE) == store for reading in quarantined_readings(entry)}
    return sum(reading in there for reading in wanted)


def ended_badly(commands: Sequence[Command], wanted: Sequence[str]) -> int:
    """Count which of the wanted commands ended with a reason, and not as verified."""
    ended = {
        CommandName.parse(command.name).command: command.state
        for command in commands
        if command.state >= TERMINAL_FROM and command.reason
    }
    return sum(ended.get(one, Command.State.STATE_VERIFIED) != Command.State.STATE_VERIFIED for one in wanted)


def _cause(reading: Reading) -> str:
    return f"{reading.device}/{reading.observed_property}@{reading.event_time_us}"
