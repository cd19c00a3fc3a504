"""What a decision costs: method option, request and table of roles, for callers with one grant and with twenty.

.venv/bin/python libs/rpc/bench/decisions.py
"""

import asyncio
import statistics
import time

from google.protobuf.message import Message

from maasloop.api.command.v1 import command_pb2, command_service_pb2
from maasloop.api.device.v1 import device_service_pb2
from maasloop.core.errors import PermissionDenied
from maasloop.identity.principals import Grant, Kind, Principal
from maasloop.identity.roles import Roles
from maasloop.rpc.authorization import RoleAuthorizer

ROUNDS, CALLS = 20, 2_000
LIMIT_US = 100.0
DIMMED = command_pb2.Setpoint(light_level=command_pb2.LightLevel(level_percent=50))
CASES: dict[str, tuple[str, Message]] = {
    "GetDevice": (
        "/maasloop.api.device.v1.DeviceService/GetDevice",
        device_service_pb2.GetDeviceRequest(name="districts/d19/devices/lamp"),
    ),
    "IssueCommand": (
        "/maasloop.api.command.v1.CommandService/IssueCommand",
        command_service_pb2.IssueCommandRequest(
            parent="districts/d19", command=command_pb2.Command(device="lamp", setpoint=DIMMED)
        ),
    ),
}


async def main() -> None:
    """Decide, and tell the median and the slowest round in microseconds a decision."""
    authorizer = RoleAuthorizer(Roles.load())
    for grants in (1, 20):
        held = tuple(Grant("lighting-engineer", frozenset({f"d{20 - number}"})) for number in range(1, grants + 1))
        for verb, caller in (("permits", held), ("refuses", (Grant("citizen", None),) * grants)):
            for name, (method, request) in CASES.items():
                spent = await _spent(authorizer, Principal(Kind.PERSON, "ada", grants=caller), method, request)
                median, worst = statistics.median(spent), max(spent)
                kept = "" if worst <= LIMIT_US else f"  more than {LIMIT_US:g} us"
                print(f"{name:13} {grants:3} grants {verb}: {median:6.1f} us, slowest round {worst:6.1f} us{kept}")


async def _spent(authorizer: RoleAuthorizer, principal: Principal, method: str, request: Message) -> list[float]:
    rounds = []
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        for _ in range(CALLS):
            try:
                await authorizer.authorize(principal, method, request)
            except PermissionDenied:
                continue
        rounds.append((time.perf_counter() - began_s) / CALLS * 1e6)
    return rounds


if __name__ == "__main__":
    asyncio.run(main())
