"""A controller goes dark only where two persons want it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import psycopg
import pytest

from maasloop.actuation.adapters.postgres_approvals import PostgresApprovals
from maasloop.actuation.adapters.postgres_records import PostgresRecords
from maasloop.actuation.domain.approval import PATIENCE_US, Approval, alone
from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.facts import Capability, read_device
from maasloop.actuation.domain.issuing import Request
from maasloop.actuation.domain.plans.setpoints import ClockSetting, Mode, OperatingMode, SecurityCodeChange
from maasloop.actuation.domain.setpoint import LightLevel, Setpoint
from maasloop.actuation.handlers.grant_approval import GrantApproval
from maasloop.actuation.handlers.issue_command import IssueCommand
from maasloop.actuation.handlers.request_approval import RequestApproval
from maasloop.core.errors import (
    FailedPrecondition,
    InvalidArgument,
    MaasloopError,
    NotFound,
    PermissionDenied,
)
from maasloop.postgres.migrate import migrate, of_package
from maasloop.postgres.pool import open_pool

pytestmark = pytest.mark.integration

NOW_US = 1_764_000_000_000_000
MOMENT = Moment(NOW_US, NOW_US)
ANNA, BERT, ROBOT = "person/anna", "person/bert", "program/robot"
DARK = OperatingMode(Mode.DARK)
WANTED = Approval(
    id="7c9e6679-7425-40de-944b-e07fc1f90ae7",
    district="noord",
    device="tlc-1",
    setpoint=DARK,
    justification="works on the cables",
    requester=ANNA,
    create_time_us=NOW_US,
)


@dataclass
class Memory:
    """A ledger that remembers."""

    batch: Batch = field(default_factory=Batch)

    async def commit(self, batch: Batch, *, urgent: bool = True) -> None:
        """Keep the batch."""
        self.batch.merge(batch)

    def defer(self, batch: Batch) -> None:
        """Keep the batch."""
        self.batch.merge(batch)


@dataclass
class Desk:
    """A district with one controller, and what people may do there."""

    district: District
    request: RequestApproval
    grant: GrantApproval
    issue: IssueCommand
    approvals: PostgresApprovals

    async def granted(self, approver: str = BERT, *, by_person: bool = True, at_us: int = NOW_US) -> Command:
        """Agree to what is wanted."""
        return await self.grant(self.district, WANTED.id, approver, Moment(at_us, at_us), by_person=by_person)


@pytest.fixture(name="desk")
async def _desk(service_dsn: Callable[[str], str]) -> AsyncIterator[Desk]:
    dsn = service_dsn("actuation")
    await migrate(dsn, of_package("maasloop.actuation"))
    city, ledger = City(capabilities={"controller": frozenset({Capability.SIGNAL_PLAN})}), Memory()
    district = city.district("noord")
    district.facts.put(read_device("tlc-1", "controller", (), {"controls": {"plans": [{"id": 1}]}}, active=True))
    async with open_pool(dsn, name="test-four-eyes") as pool:
        approvals, records = PostgresApprovals(pool), PostgresRecords(pool)
        yield Desk(
            district,
            RequestApproval(approvals),
            GrantApproval(city, ledger, records, approvals),
            IssueCommand(city, ledger, records),
            approvals,
        )


async def test_two_persons_darken_a_controller(desk: Desk) -> None:
    """Nothing happens at the request; the second person's agreement is the command, of the first, with both in it."""
    stored = await desk.request(desk.district, WANTED)
    assert (stored, desk.district.commands) == (WANTED, {})
    command = await desk.granted()
    assert (command.state, command.issuer, command.cause) == (State.ACCEPTED, ANNA, f"approvals/{WANTED.id}")
    assert command.setpoint == OperatingMode(Mode.DARK, BERT)
    assert await desk.granted() == command
    assert await desk.approvals.newest("noord", after=None, limit=5) == [replace(WANTED, approver=BERT)]


async def test_a_security_code_is_replaced_by_two_persons(desk: Desk) -> None:
    """As a dark controller; the command names the level and who agreed, and no code."""
    wanted = replace(WANTED, id="0d9e6679-7425-40de-944b-e07fc1f90ae7", setpoint=SecurityCodeChange(2))
    await desk.request(desk.district, wanted)
    command = await desk.grant(desk.district, wanted.id, BERT, MOMENT, by_person=True)
    assert (command.state, command.setpoint) == (State.ACCEPTED, SecurityCodeChange(2, BERT))


@pytest.mark.parametrize(
    ("approver", "by_person", "late_us", "error"),
    [
        (ANNA, True, 0, PermissionDenied),
        (ROBOT, False, 0, PermissionDenied),
        (BERT, True, PATIENCE_US, FailedPrecondition),
    ],
)
async def test_nobody_agrees_alone_by_machine_or_too_late(
    desk: Desk, approver: str, by_person: bool, late_us: int, error: type[MaasloopError]
) -> None:
    """The one who asked, a program, and whoever comes after 15 minutes are refused, and nothing is sent."""
    await desk.request(desk.district, WANTED)
    with pytest.raises(error):
        await desk.granted(approver, by_person=by_person, at_us=NOW_US + late_us)
    assert desk.district.commands == {}


async def test_only_one_second_person_agrees(desk: Desk) -> None:
    """Of two who agree at the same moment one does; the command names that one."""
    await desk.request(desk.district, WANTED)
    found = await asyncio.gather(desk.granted(BERT), desk.granted("person/carl"), return_exceptions=True)
    commands = [one for one in found if isinstance(one, Command)]
    assert [type(one) for one in found if not isinstance(one, Command)] == [FailedPrecondition]
    (known,) = await desk.approvals.newest("noord", after=None, limit=5)
    assert [getattr(one.setpoint, "approver", "") for one in commands] == [known.approver]


@pytest.mark.parametrize(
    "setpoint",
    [
        OperatingMode(Mode.DARK, "person/bert"),
        ClockSetting("person/bert"),
        SecurityCodeChange(2, "person/bert"),
    ],
)
async def test_who_says_that_somebody_agreed_proves_nothing(desk: Desk, setpoint: Setpoint) -> None:
    """A second person whom the caller names is nobody: the kernel refuses the command, and a request starts without."""
    wish = Request(
        device="tlc-1", setpoint=setpoint, authority=Authority.OPERATOR, issuer=ANNA, cause="requests/1", seed="1"
    )
    command = await desk.issue(desk.district, wish, MOMENT)
    assert (command.state, command.reason) == (State.REFUSED, "APPROVAL_MISSING")
    assert getattr(alone(setpoint), "approver", None) == ""


@pytest.mark.parametrize(
    ("approval", "error"),
    [
        (replace(WANTED, requester=""), FailedPrecondition),
        (replace(WANTED, setpoint=LightLevel(80.0, 0.0)), InvalidArgument),
        (replace(WANTED, device="nowhere"), NotFound),
    ],
)
async def test_what_cannot_be_asked_for(desk: Desk, approval: Approval, error: type[MaasloopError]) -> None:
    """Where nobody is identified there is no second person; what needs none is issued; a device must be known."""
    with pytest.raises(error):
        await desk.request(desk.district, approval)


async def test_an_id_is_one_request(desk: Desk) -> None:
    """The same request again is the stored one; another person's under its id is refused."""
    await desk.request(desk.district, WANTED)
    assert await desk.request(desk.district, replace(WANTED, create_time_us=NOW_US + 1)) == WANTED
    with pytest.raises(FailedPrecondition, match="request_id"):
        await desk.request(desk.district, replace(WANTED, requester=BERT))


async def test_the_table_itself_refuses_one_who_agrees_with_oneself(desk: Desk) -> None:
    """Also a row that is changed by hand can't have the same person twice."""
    await desk.request(desk.district, WANTED)
    with pytest.raises(psycopg.errors.CheckViolation):
        await desk.approvals.grant(replace(WANTED, approver=ANNA))
