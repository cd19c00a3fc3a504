"""A server of the whole contract: the platform's own gate before handlers that answer whoever reaches them."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from joserfc import jwt
from joserfc.jwk import ECKey
from tests.security.matrix import requests
from tests.security.matrix.expected import CITY, FOREIGN, OWN, Caller

from maasloop.core.clock import SystemClock
from maasloop.identity.certificates import DevelopmentCertificates, Holder
from maasloop.identity.principals import Grant, Kind, Principal
from maasloop.identity.roles import ANY, Need, Roles
from maasloop.identity.tls import LiveTls
from maasloop.identity.token_keys import FileKeys
from maasloop.identity.tokens import AUDIENCE, PROVIDER_ALGORITHMS, GroupGrant, Issuers, People, Verifier
from maasloop.rpc.auditing import CallAudit
from maasloop.rpc.authentication import Security
from maasloop.rpc.authorization import Place, RoleAuthorizer
from maasloop.rpc.server import RpcServer
from maasloop.rpc.step_up import StepUp

ISSUER = "https://provider.example"
IDS = {OWN: ("centre", "p-own"), FOREIGN: ("south", "p-foreign"), CITY: ("-", "")}
PLACED = frozenset({"policies", "alertRules", "quarantineEntries"})
FRESH_S, STALE_S, ANY_AGE_S = 300, 3_600, 10**6
"""How old the proof of a caller may be for what wants a fresh one, how old a stale one is, and what lets all pass."""

type _Handler = grpc.RpcMethodHandler[Any, Any]


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
class City:
    """The server, seen from outside."""

    channel: grpc.aio.Channel
    tokens: Tokens
    authorizer: RoleAuthorizer
    key: ECKey
    """Signs the provider's tokens."""

    def token(self, caller: Caller) -> str:
        """Return a token of the provider for a caller; empty for nobody."""
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
        return jwt.encode({"alg": "ES256", "kid": self.key.kid}, claims, self.key)


async def _places(names: Sequence[str]) -> Mapping[str, Place]:
    """Answer as services do about what belongs to a district and does not say so: here its id is the district's."""
    ids = {each[0] for each in IDS.values()}
    named = {name: name.partition("/") for name in names}
    return {
        name: Place(district=id_) for name, (collection, _, id_) in named.items() if collection in PLACED and id_ in ids
    }


@asynccontextmanager
async def serving(*, scoped: bool = True, fresh: bool = True, audit: CallAudit | None = None) -> AsyncIterator[City]:
    """Serve the whole contract behind the gate.

    ``scoped`` false builds in the fault that a grant holds everywhere, ``fresh`` false that an old proof of who a person
    is will do where a fresh one is wanted.
    """
    with TemporaryDirectory() as scratch:
        made = DevelopmentCertificates(Path(scratch) / "tls", SystemClock())
        made.ensure([Holder("device-registry", Principal(Kind.SERVICE, "device-registry"))])
        files = made.files("device-registry")
        key = ECKey.generate_key("P-256", {"kid": "one"})
        keys = Path(scratch) / "keys.json"
        keys.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
        roles = Roles.load()
        judged = roles if scoped else WithoutScope(roles.table, roles.permissions)
        step_up = StepUp(SystemClock(), FRESH_S if fresh else ANY_AGE_S)
        tokens, authorizer = Tokens(keys, roles), RoleAuthorizer(judged, _places, step_up=step_up)
        security = Security(
            tls=LiveTls(files), public_address="127.0.0.1:0", tokens=tokens, authorizer=authorizer, audit=audit
        )
        server = RpcServer("127.0.0.1:0", security=security)
        answer_all(server)
        await server.start()
        trusted = grpc.ssl_channel_credentials(files.authority.read_bytes())
        options = [("grpc.ssl_target_name_override", "localhost")]
        async with grpc.aio.secure_channel(server.public_address, trusted, options=options) as channel:
            yield City(channel, tokens, authorizer, key)
        await server.stop(0)


def answer_all(server: RpcServer) -> None:
    """Answer every method of the contract once with nothing, after the first request."""
    for name, handlers in _handlers().items():
        server.registrar.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        server.registrar.add_registered_method_handlers(name, handlers)


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
