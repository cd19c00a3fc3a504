"""An engineer handles commands and overrides of the own domain, and no other, though calls name only the resource."""

from dataclasses import replace
from typing import Any, cast

import pytest

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.policy import Policy
from maasloop.actuation.domain.setpoint import LightLevel, LocalControl, Setpoint, SignalSequence
from maasloop.actuation.entrypoints.places import ResourcePlaces
from maasloop.actuation.ports import Records
from maasloop.api.command.v1.command_service_pb2 import CancelCommandRequest
from maasloop.api.command.v1.policy_service_pb2 import GetPolicyRequest
from maasloop.core.errors import PermissionDenied
from maasloop.identity.principals import Grant, Kind, Principal
from maasloop.identity.roles import Roles
from maasloop.rpc.authorization import RoleAuthorizer

READ = "/maasloop.api.command.v1.PolicyService/GetPolicy"
CANCEL = "/maasloop.api.command.v1.CommandService/CancelCommand"
ENGINEER = Principal(Kind.PERSON, "ada", grants=(Grant("lighting-engineer", frozenset({"noord"})),))
DIMMED = Command(
    id="dimmed",
    district="noord",
    device="lamp-1",
    setpoint=LightLevel(50.0, 0.0),
    authority=Authority.OPERATOR,
    issuer="person/ada",
    cause="requests/1",
    state=State.ACCEPTED,
    create_time_us=7,
    not_before_us=1,
    expire_us=900_000_001,
    verify_by_us=10_000_001,
)


class _Kept:
    """Knows commands by name."""

    def __init__(self, *commands: Command) -> None:
        self._commands = {(command.district, command.id): command for command in commands}

    async def command(self, district: str, command: str) -> Command | None:
        """Return a command."""
        return self._commands.get((district, command))


@pytest.mark.parametrize(
    ("name", "permitted"),
    [
        ("districts/noord/commands/dimmed", True),
        ("districts/noord/commands/signal", False),
        ("districts/noord/commands/local", False),
        ("districts/noord/commands/none", False),
        ("districts/zuid/commands/dimmed", False),
        ("districts/noord/commands", False),
    ],
)
async def test_an_engineer_cancels_within_the_domain(name: str, permitted: bool) -> None:
    """A command of a lamp may be withdrawn; a signal's, one without a domain, and one that nobody knows may not."""
    sequence: Setpoint = SignalSequence((), {})
    kept: Any = _Kept(
        DIMMED,
        replace(DIMMED, id="signal", setpoint=sequence),
        replace(DIMMED, id="local", setpoint=LocalControl()),
    )
    authorizer = RoleAuthorizer(Roles.load(), ResourcePlaces(cast("Records", kept), {}))
    found = True
    try:
        await authorizer.authorize(ENGINEER, CANCEL, CancelCommandRequest(name=name))
    except PermissionDenied:
        found = False
    assert found is permitted


@pytest.mark.parametrize(("policy", "permitted"), [("dim", True), ("elsewhere", False), ("none", False)])
async def test_an_engineer_reads_the_policies_of_the_district(policy: str, permitted: bool) -> None:
    """A grant in a district reaches its policies; another district's, and one that nobody knows, it does not."""
    made = {
        id_: Policy(
            id=id_,
            display_name=id_,
            district=district,
            observed_properties=("illuminance",),
            on_condition="value < 10.0",
            on_level_percent=80.0,
            off_level_percent=30.0,
        )
        for id_, district in (("dim", "noord"), ("elsewhere", "zuid"))
    }
    authorizer = RoleAuthorizer(Roles.load(), ResourcePlaces(cast("Records", _Kept()), made))
    found = True
    try:
        await authorizer.authorize(ENGINEER, READ, GetPolicyRequest(name=f"policies/{policy}"))
    except PermissionDenied:
        found = False
    assert found is permitted
