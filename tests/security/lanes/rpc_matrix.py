"""Every method of the contract, asked by every role about its own and about foreign things, over TLS with real tokens.

The server has the platform's own gate and handlers that answer whoever reaches them; the methods and their requests come
from the descriptors. What may succeed is said by ``matrix/expected.py``, which shares no code with the gate.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import httpx2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from joserfc import jwt
from joserfc.jwk import ECKey
from tests.security.matrix import requests, routes
from tests.security.matrix.expected import CITY, FOREIGN, OWN, Caller, Expectation
from tests.security.outcome import NO_SABOTAGE, Outcome, Plan

from maasloop.api.common.v1 import permission_pb2
from maasloop.core.clock import SystemClock
from maasloop.identity.certificates import DevelopmentCertificates, Holder
from maasloop.identity.principals import Grant, Kind, Principal
from maasloop.identity.roles import ANY, Need, Roles
from maasloop.identity.tls import LiveTls
from maasloop.identity.token_keys import FileKeys
from maasloop.identity.tokens import AUDIENCE, PROVIDER_ALGORITHMS, GroupGrant, Issuers, People, Verifier
from maasloop.rpc.authentication import Security
from maasloop.rpc.authorization import Place, RoleAuthorizer
from maasloop.rpc.server import RpcServer
from maasloop.rpc.step_up import StepUp

LANE = "rpc_matrix"
SCOPE_JOIN_OFF = "scope-join-off"
STEP_UP_OFF = "step-up-off"
ISSUER = "https://provider.example"
IDS = {OWN: ("centre", "p-own"), FOREIGN: ("south", "p-foreign"), CITY: ("-", "")}
FRESH_S, STALE_S, ANY_AGE_S = 300, 3_600, 10**6
"""How old the proof of a caller may be for what wants a fresh one, how old a stale one is, and what lets all pass."""
PLACED = frozenset({"policies", "alertRules", "quarantineEntries"})
CALL_TIMEOUT_S = 30.0
AT_ONCE = 32
NOTED_MAX = 20
type _Handler = grpc.RpcMethodHandler[Any, Any]

REFUSED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


class Tokens:
    """Believes the provider of this lane."""

    def __init__(self, keys: Path, roles: Roles) -> None:
        """Give each group ``{role}`` its role in the own district, and ``{role}-city`` the role everywhere."""
        verifier = Verifier(ISSUER, FileKeys(keys), SystemClock(), algorithms=PROVIDER_ALGORITHMS)
        here = [GroupGrant(role, Grant(role, frozenset({IDS[OWN][0]}))) for role in roles.table]
        everywhere = [GroupGrant(f"{role}-city", Grant(role, None)) for role in roles.table]
        people = People(verifier, [*here, *everywhere], groups_claim="groups", data_subject_claim="data_subject")
        self._issuers = Issuers(people)

    async def principal(self, bearer: str) -> Principal:
        """Return who a token stands for."""
        return await self._issuers.principal(bearer)

    def session(self, principal: Principal) -> AbstractAsyncContextManager[None]:
        """Let a call run."""
        return nullcontext()


class WithoutScope(Roles):
    """Build in the fault: a grant holds everywhere."""

    def permits(self, principal: Principal, need: Need) -> bool:
        """Forget where."""
        return Roles.permits(self, principal, replace(need, districts=ANY, domains=ANY, data_subjects=frozenset()))


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
    async with _city(plan.sabotage) as (channel, door, key):
        tokens = {caller: _token(key, caller) for caller in expectation.callers()}
        waiting: list[Case] = []

        async def judge() -> None:
            while waiting:
                case = waiting.pop()
                reached = await _reached(channel, case, tokens[case.caller])
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


async def _place(name: str) -> Place | None:
    """Answer as services do about what belongs to a district and does not say so: here its id is the district's."""
    collection, _, id_ = name.partition("/")
    return Place(district=id_) if collection in PLACED and id_ in {ids[0] for ids in IDS.values()} else None


@asynccontextmanager
async def _city(sabotage: str) -> AsyncIterator[tuple[grpc.aio.Channel, httpx2.AsyncClient, ECKey]]:
    """Serve the whole contract behind the platform's gate."""
    with TemporaryDirectory() as scratch:
        made = DevelopmentCertificates(Path(scratch) / "tls", SystemClock())
        made.ensure([Holder("device-registry", Principal(Kind.SERVICE, "device-registry"))])
        files = made.files("device-registry")
        key = ECKey.generate_key("P-256", {"kid": "one"})
        keys = Path(scratch) / "keys.json"
        keys.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
        roles = Roles.load()
        judged = WithoutScope(roles.table, roles.permissions) if sabotage == SCOPE_JOIN_OFF else roles
        age_s = ANY_AGE_S if sabotage == STEP_UP_OFF else FRESH_S
        tokens = Tokens(keys, roles)
        authorizer = RoleAuthorizer(judged, _place, step_up=StepUp(SystemClock(), age_s))
        security = Security(tls=LiveTls(files), public_address="127.0.0.1:0", tokens=tokens, authorizer=authorizer)
        server = RpcServer("127.0.0.1:0", security=security)
        for name, handlers in _handlers().items():
            server.registrar.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
            server.registrar.add_registered_method_handlers(name, handlers)
        await server.start()
        trusted = grpc.ssl_channel_credentials(files.authority.read_bytes())
        options = [("grpc.ssl_target_name_override", "localhost")]
        async with (
            grpc.aio.secure_channel(server.public_address, trusted, options=options) as channel,
            routes.http_door(tokens.principal, authorizer) as door,
        ):
            yield channel, door, key
        await server.stop(0)


def _handlers() -> dict[str, dict[str, _Handler]]:
    """Return a handler for every method, by service."""
    services: dict[str, dict[str, _Handler]] = {}
    for method in requests.methods():
        services.setdefault(method.containing_service.full_name, {})[method.name] = _handler(method)
    return services


def _handler(method: MethodDescriptor) -> _Handler:
    """Answer once with nothing, after the first request."""
    asked, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)

    async def one(requested: Any, _context: Any) -> Message:  # noqa: ANN401 - a message or an iterator of them
        if method.client_streaming:
            async for _ in requested:
                pass
        return answer()

    async def many(requested: Any, _context: Any) -> AsyncIterator[Message]:  # noqa: ANN401 - a message or an iterator of them
        if method.client_streaming:
            async for _ in requested:
                pass
        yield answer()

    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[method.client_streaming, method.server_streaming]
    return make(
        many if method.server_streaming else one,
        request_deserializer=asked.FromString,
        response_serializer=lambda message: message.SerializeToString(),
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


def _token(key: ECKey, caller: Caller) -> str:
    if not caller.role:
        return ""
    now = int(SystemClock().now().timestamp())
    group = f"{caller.role}-city" if caller.everywhere else caller.role
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(caller),
        "iat": now,
        "exp": now + 3600,
        "auth_time": now - (0 if caller.proven else STALE_S),
        "groups": [group],
        "data_subject": IDS[OWN][1],
    }
    return jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key)
