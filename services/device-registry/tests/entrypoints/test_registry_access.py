"""Keys of programs: shown once, exchanged for a token that says what they may, and ended everywhere."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import psycopg
import pytest
from google.protobuf.duration_pb2 import Duration
from pydantic import SecretStr

from maasloop.api.device.v1 import access_service_pb2 as pb
from maasloop.api.device.v1.access_service_pb2_grpc import AccessServiceStub
from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import ensure
from maasloop.core.clock import SystemClock
from maasloop.core.errors import FailedPrecondition, InvalidArgument, MaasloopError, NotFound, Unauthenticated
from maasloop.device_registry.app import PACKAGE, assemble
from maasloop.device_registry.settings import DeviceRegistrySettings
from maasloop.identity.principals import Grant, Kind
from maasloop.identity.token_keys import TOKEN_LIFETIME_S, make_signing_key
from maasloop.postgres.migrate import migrate, of_package
from maasloop.rpc import client
from maasloop.rpc.server import RpcServer
from maasloop.runtime.access import Access, AccessSettings

if TYPE_CHECKING:
    from maasloop.api.device.v1.access_service_pb2_grpc import AccessServiceAsyncStub

pytestmark = pytest.mark.integration

CLOCK = SystemClock()
TIMEOUT_S = 20.0
GRANTS = [
    pb.RoleGrant(role="integrator", districts=["noord", "zuid"]),
    pb.RoleGrant(role="viewer", all_districts=True, domains=["air"]),
]
HOUR = Duration(seconds=3600)


@dataclass
class Registry:
    """What a test talks to."""

    stub: "AccessServiceAsyncStub"
    access: Access
    """Of some other service of the city."""
    dsn: str


@pytest.fixture(name="bus")
async def _bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test") as bus:
        await ensure(bus)
        yield bus


@pytest.fixture(name="registry")
async def _registry(
    service_dsn: Callable[[str], str], nats_url: str, bus: Bus, tmp_path: Path
) -> AsyncIterator[Registry]:
    dsn, private, public = service_dsn("device-registry"), tmp_path / "private.json", tmp_path / "public.json"
    await migrate(dsn, of_package(PACKAGE))
    make_signing_key(private, public)
    settings = DeviceRegistrySettings(
        postgres_dsn=SecretStr(dsn), nats_url=nats_url, token_signing_key_file=private, insecure_on_loopback=True
    )
    access = Access(AccessSettings(program_keys_file=public), bus, CLOCK)
    async with assemble(settings) as service:
        server = cast("RpcServer", service.doors[0])
        await server.start()
        works = [*service.tasks.values(), *access.tasks.values()]
        tasks = [asyncio.ensure_future(work()) for work in works]
        async with client.connected(server.address) as channel:
            yield Registry(AccessServiceStub(channel), access, dsn)
        await server.stop(0)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _made(registry: Registry, ttl: Duration = HOUR) -> pb.GenerateApiKeyResponse:
    key = pb.ApiKey(program="weather-app", grants=GRANTS)
    return await client.call(registry.stub.GenerateApiKey, pb.GenerateApiKeyRequest(api_key=key, ttl=ttl))


async def _token(registry: Registry, secret: str) -> pb.ExchangeApiKeyResponse:
    return await client.call(registry.stub.ExchangeApiKey, pb.ExchangeApiKeyRequest(secret=secret))


async def _reason(registry: Registry, token: str, wanted: str) -> None:
    """Wait until another service answers so to a token; empty means that it is taken."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                await registry.access.tokens.principal(token)
                found = ""
            except MaasloopError as error:
                found = error.reason
            if found == wanted:
                return
            await asyncio.sleep(0.02)


async def test_a_key_opens_every_service(registry: Registry) -> None:
    """The token that a key is exchanged for says program, key and grants, and ends within ten minutes."""
    made = await _made(registry)
    answer = await _token(registry, made.secret)
    await _reason(registry, answer.access_token, "")
    program = await registry.access.tokens.principal(answer.access_token)

    assert (program.kind, program.name) == (Kind.PROGRAM, "weather-app")
    assert made.api_key.name == f"apiKeys/{program.credential}"
    assert set(program.grants) == {
        Grant("integrator", frozenset({"noord", "zuid"})),
        Grant("viewer", None, frozenset({"air"})),
    }
    assert program.expire_time is not None
    assert (program.expire_time - CLOCK.now()).total_seconds() <= TOKEN_LIFETIME_S


async def test_the_secret_is_nowhere(registry: Registry) -> None:
    """Neither the list nor the database holds a secret, and each key has another."""
    first, second = await _made(registry), await _made(registry)
    listed = await client.call(registry.stub.ListApiKeys, pb.ListApiKeysRequest(page_size=1))
    rest = await client.call(
        registry.stub.ListApiKeys, pb.ListApiKeysRequest(page_size=1, page_token=listed.next_page_token)
    )
    async with await psycopg.AsyncConnection.connect(registry.dsn) as connection:
        stored = await (await connection.execute("SELECT api_keys::text FROM api_keys")).fetchall()

    assert first.secret.startswith("mlk_")
    assert first.secret != second.secret
    assert {key.name for key in [*listed.api_keys, *rest.api_keys]} == {first.api_key.name, second.api_key.name}
    assert first.secret[4:] not in str(stored)


async def test_a_revoked_key_is_out_everywhere(registry: Registry) -> None:
    """A revoked key is exchanged no more, and tokens that it gave are refused by every service; others go on."""
    first, second = await _made(registry), await _made(registry)
    token = (await _token(registry, first.secret)).access_token
    other = (await _token(registry, second.secret)).access_token
    await _reason(registry, token, "")
    for _ in range(2):
        ended = await client.call(registry.stub.RevokeApiKey, pb.RevokeApiKeyRequest(name=first.api_key.name))
        assert ended.HasField("revoke_time")

    with pytest.raises(Unauthenticated) as refused:
        await _token(registry, first.secret)
    assert refused.value.reason == "CREDENTIALS_REVOKED"
    await _reason(registry, token, "CREDENTIALS_REVOKED")
    await _reason(registry, other, "")


async def test_a_program_is_revoked_and_reinstated(registry: Registry) -> None:
    """All tokens of a program are refused until it is reinstated."""
    token = (await _token(registry, (await _made(registry)).secret)).access_token
    kind, name = pb.PRINCIPAL_KIND_PROGRAM, "weather-app"
    await _reason(registry, token, "")
    await client.call(registry.stub.RevokePrincipal, pb.RevokePrincipalRequest(kind=kind, principal=name))
    await _reason(registry, token, "CREDENTIALS_REVOKED")
    await client.call(registry.stub.ReinstatePrincipal, pb.ReinstatePrincipalRequest(kind=kind, principal=name))
    await _reason(registry, token, "")


async def test_keys_that_do_not_hold(registry: Registry) -> None:
    """An unknown secret and a key past its end are refused."""
    short = await _made(registry, Duration(seconds=1))
    await asyncio.sleep(1.1)

    for secret, reason in (("mlk_unknown", "CREDENTIALS_INVALID"), (short.secret, "CREDENTIALS_EXPIRED")):
        with pytest.raises(Unauthenticated) as refused:
            await _token(registry, secret)
        assert refused.value.reason == reason
    with pytest.raises(NotFound):
        await client.call(registry.stub.RevokeApiKey, pb.RevokeApiKeyRequest(name="apiKeys/none"))


@pytest.mark.parametrize(
    "grant",
    [
        pb.RoleGrant(role="root", all_districts=True),
        pb.RoleGrant(role="viewer"),
        pb.RoleGrant(role="viewer", districts=["noord"], all_districts=True),
        pb.RoleGrant(role="viewer", all_districts=True, domains=["magic"]),
        pb.RoleGrant(role="viewer", districts=["Noord!"]),
    ],
)
async def test_a_grant_says_what_it_means(registry: Registry, grant: pb.RoleGrant) -> None:
    """A role or domain that there is not, no district, or some and all at once: refused."""
    key = pb.ApiKey(program="weather-app", grants=[grant])
    with pytest.raises(InvalidArgument):
        await client.call(registry.stub.GenerateApiKey, pb.GenerateApiKeyRequest(api_key=key, ttl=HOUR))


async def test_without_a_signing_key_nothing_is_exchanged(
    service_dsn: Callable[[str], str], nats_url: str, bus: Bus
) -> None:
    """A registry that cannot sign says so."""
    dsn = service_dsn("device-registry")
    await migrate(dsn, of_package(PACKAGE))
    async with assemble(
        DeviceRegistrySettings(postgres_dsn=SecretStr(dsn), nats_url=nats_url, insecure_on_loopback=True)
    ) as service:
        server = cast("RpcServer", service.doors[0])
        await server.start()
        async with client.connected(server.address) as channel:
            with pytest.raises(FailedPrecondition):
                await client.call(AccessServiceStub(channel).ExchangeApiKey, pb.ExchangeApiKeyRequest(secret="x"))
        await server.stop(0)
