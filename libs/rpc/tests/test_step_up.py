"""What wants a fresh proof of a person gets it, and from nobody else."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from maasloop.api.command.v1 import command_service_pb2
from maasloop.api.notification.v1 import notification_service_pb2
from maasloop.core.clock import FakeClock, SystemClock
from maasloop.core.errors import MaasloopError, PermissionDenied, Unauthenticated
from maasloop.identity.certificates import DevelopmentCertificates, Holder
from maasloop.identity.principals import Grant, Kind, Principal
from maasloop.identity.roles import Roles
from maasloop.identity.tls import LiveTls
from maasloop.rpc.auditing import CallAudit
from maasloop.rpc.authentication import Gate, Security
from maasloop.rpc.authorization import RoleAuthorizer, permission_of
from maasloop.rpc.step_up import StepUp

CLOCK = FakeClock()
NOW = CLOCK.now()
ADA = Principal(Kind.PERSON, "ada", (Grant("traffic-engineer", frozenset({"centre"})),), authenticated_time=NOW)
STEP_UP = StepUp(CLOCK, max_age_s=300)
METHOD = "/maasloop.api.command.v1.CommandService/RequestApproval"
REQUEST = command_service_pb2.RequestApprovalRequest(parent="districts/centre")


def _error(step_up: StepUp, principal: Principal) -> MaasloopError | None:
    try:
        step_up.require(principal)
    except MaasloopError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("age_s", "refused"), [(0, False), (300, False), (329, False), (331, True), (86_400, True), (None, True)]
)
def test_a_proof_must_be_young(age_s: int | None, refused: bool) -> None:
    """Beyond the limit and the skew of clocks, or without a time, the person proves it anew; the refusal says how."""
    proven = None if age_s is None else NOW - timedelta(seconds=age_s)
    error = _error(STEP_UP, replace(ADA, authenticated_time=proven))

    assert (error is not None) is refused
    if error is not None:
        assert isinstance(error, Unauthenticated)
        assert (error.reason, dict(error.metadata)) == ("STEP_UP_REQUIRED", {"max_age": "300"})


def test_a_proof_may_have_to_be_of_a_kind() -> None:
    """Where the city names a class, another one is not enough, however young."""
    gold = StepUp(CLOCK, acr="gold")

    assert _error(gold, replace(ADA, acr="gold")) is None
    error = _error(gold, replace(ADA, acr="silver"))
    assert error is not None
    assert error.metadata["acr_values"] == "gold"


@pytest.mark.parametrize("kind", [Kind.PROGRAM, Kind.DEVICE, Kind.SERVICE])
def test_no_program_can(kind: Kind) -> None:
    """Whatever a program's token says, a person must."""
    assert isinstance(_error(STEP_UP, replace(ADA, kind=kind)), PermissionDenied)
    assert _error(STEP_UP, replace(ADA, kind=Kind.OPERATOR, authenticated_time=None)) is None


async def test_the_contract_says_where() -> None:
    """A right comes first, then the proof; an authorizer that knows no proofs lets nobody in."""
    stale = replace(ADA, authenticated_time=NOW - timedelta(days=1))
    authorizer = RoleAuthorizer(Roles.load(), step_up=STEP_UP)

    await authorizer.authorize(ADA, METHOD, REQUEST)
    with pytest.raises(Unauthenticated):
        await authorizer.authorize(stale, METHOD, REQUEST)
    with pytest.raises(PermissionDenied):
        await authorizer.authorize(replace(stale, grants=()), METHOD, REQUEST)
    with pytest.raises(PermissionDenied):
        await RoleAuthorizer(Roles.load()).authorize(ADA, METHOD, REQUEST)


class Heard(CallAudit):
    """An audit that keeps refusals in memory."""

    def __init__(self) -> None:
        self.refusals: list[tuple[str, str, str]] = []

    def refused(self, principal: Principal | None, method: str, error: MaasloopError) -> None:
        """Remember who was refused what, and why."""
        self.refusals.append((str(principal), method, error.reason))


async def test_a_refusal_is_written_down(tmp_path: Path) -> None:
    """Whoever comes with an old proof is in the audit log, by name and reason."""
    made = DevelopmentCertificates(tmp_path / "tls", SystemClock())
    made.ensure([Holder("actuation", Principal(Kind.SERVICE, "actuation"))])
    heard, authorizer = Heard(), RoleAuthorizer(Roles.load(), step_up=STEP_UP)
    gate = Gate(Security(tls=LiveTls(made.files("actuation")), authorizer=authorizer, audit=heard))

    await gate.authorize(ADA, METHOD, REQUEST)
    with pytest.raises(Unauthenticated):
        await gate.authorize(replace(ADA, authenticated_time=None), METHOD, REQUEST)

    assert heard.refusals == [("person/ada", METHOD, "STEP_UP_REQUIRED")]


def test_what_two_persons_decide_wants_a_proof_of_each() -> None:
    """Asking for a dark controller, agreeing to it, and agreeing to a message to very many."""
    services = [
        command_service_pb2.DESCRIPTOR.services_by_name["CommandService"],
        notification_service_pb2.DESCRIPTOR.services_by_name["NotificationService"],
    ]
    wanted = {
        method.name
        for service in services
        for method in service.methods
        if permission_of(f"/{service.full_name}/{method.name}").step_up
    }
    assert wanted == {"RequestApproval", "GrantApproval", "GrantAlertRule"}
