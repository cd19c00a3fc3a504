"""Every method of the contract, asked by every role about its own and about foreign things, over TLS with real tokens.

The server has the platform's own gate and handlers that answer whoever reaches them; the methods and their requests come
from the descriptors. What may succeed is said by ``matrix/expected.py``, which shares no code with the gate.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from tests.security.matrix import requests, routes
from tests.security.matrix.city import IDS, serving
from tests.security.matrix.expected import FOREIGN, OWN, Caller, Expectation
from tests.security.outcome import NO_SABOTAGE, Outcome, Plan

from maasloop.api.common.v1 import permission_pb2

LANE = "rpc_matrix"
SCOPE_JOIN_OFF = "scope-join-off"
STEP_UP_OFF = "step-up-off"
CALL_TIMEOUT_S = 30.0
AT_ONCE = 32
NOTED_MAX = 20

REFUSED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


@dataclass(frozen=True, slots=True)
class Case:
    """One call."""

    method: MethodDescriptor
    caller: Caller
    objects: str
    request: Message

    @property
    def path(self) -> str:
        """Return the name of the method as gRPC has it."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def permission(self) -> permission_pb2.Permission:
        """Return what the method declares."""
        declared: permission_pb2.Permission = self.method.GetOptions().Extensions[permission_pb2.permission]
        return declared

    def __str__(self) -> str:
        """Return the case as the report names it."""
        return f"{self.caller} called {self.method.name} on {self.objects}"


def cases(expectation: Expectation) -> Iterator[Case]:
    """Yield every method that needs an identity, by every caller, about everything."""
    for method in requests.methods():
        for objects, ids in IDS.items():
            asked = requests.request(method, *ids)
            for caller in expectation.callers():
                case = Case(method, caller, objects, asked)
                if not case.permission.anonymous:
                    yield case


async def run(plan: Plan) -> Outcome:
    """Call, and compare who was let in with who may be."""
    expectation = Expectation()
    tried, unexpected, missing = 0, [], []
    share = max(1, round(1 / plan.scale)) if plan.sabotage == NO_SABOTAGE else 1
    async with (
        serving(scoped=plan.sabotage != SCOPE_JOIN_OFF, fresh=plan.sabotage != STEP_UP_OFF) as city,
        routes.http_door(city.tokens.principal, city.authorizer) as door,
    ):
        tokens = {caller: city.token(caller) for caller in expectation.callers()}
        waiting: list[Case] = []

        async def judge() -> None:
            while waiting:
                case = waiting.pop()
                reached = await _reached(city.channel, case, tokens[case.caller])
                may = expectation.may(case.caller, case.method.name, case.permission.name, case.objects)
                if reached and not may:
                    unexpected.append(str(case))
                elif may and not reached:
                    missing.append(str(case))

        waiting += [case for index, case in enumerate(cases(expectation)) if index % share == 0]
        tried = len(waiting)
        await asyncio.gather(*(judge() for _ in range(AT_ONCE)))
        for route, caller, objects in product(routes.ROUTES, expectation.callers(), (OWN, FOREIGN)):
            tried += 1
            reached = await routes.reached(door, route, IDS[objects][0], tokens[caller])
            may = expectation.may(caller, "RecordObservations", routes.PERMISSION, objects)
            if reached and not may:
                unexpected.append(f"{caller} posted to {route} for {objects}")
            elif may and not reached and route == routes.ROUTES[0]:
                missing.append(f"{caller} posted to {route} for {objects}")
    return Outcome.of(
        LANE,
        {
            "nobody was let in who may not": not unexpected,
            "nobody was refused who may": not missing,
            "cases were tried": tried > 0,
        },
        figures={"rpc_matrix_cases": tried, "rpc_unexpected_ok": len(unexpected)},
        notes=(
            *(f"let in: {each}" for each in unexpected[:NOTED_MAX]),
            *(f"refused: {each}" for each in missing[:NOTED_MAX]),
        ),
    )


async def _reached(channel: grpc.aio.Channel, case: Case, token: str) -> bool:
    """Tell whether the handler answered; anything but an answer or a refusal is a fault of the lane."""
    settings: dict[str, Any] = {
        "metadata": (("authorization", f"Bearer {token}"),) if token else (),
        "timeout": CALL_TIMEOUT_S,
    }
    body = case.request.SerializeToString()
    try:
        if case.method.client_streaming:
            open_stream: Any = channel.stream_stream if case.method.server_streaming else channel.stream_unary
            call = open_stream(case.path)(**settings)
            with suppress(asyncio.InvalidStateError):  # It was refused before the request was written.
                await call.write(body)
                await call.done_writing()
        else:
            open_call: Any = channel.unary_stream if case.method.server_streaming else channel.unary_unary
            call = open_call(case.path)(body, **settings)
        if case.method.server_streaming:
            return bool([each async for each in call])
        await call
    except grpc.aio.AioRpcError as error:
        if error.code() in REFUSED:
            return False
        raise
    return True
