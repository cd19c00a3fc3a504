"""``maasloop revoke integrator | service`` against a real broker: out at once, and in again only by a new credential."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from maasloop.bus.accounts import integrator_account
from maasloop.bus.rights import ACCOUNTS
from maasloop.stack.state import StateDirectory
from maasloop.testing.town import Town, running_town

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

WAIT_S = 60


@pytest.fixture(name="town", scope="module")
def _town() -> Iterator[Town]:
    with running_town() as town:
        yield town


@pytest.fixture(name="told")
def _told(maasloop: Any, town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command of a checkout whose identities are the town's."""
    secrets = StateDirectory(tmp_path).secrets
    secrets.mkdir(parents=True)
    (secrets / "nats").symlink_to(town.city.directory, target_is_directory=True)
    monkeypatch.setenv("MAASLOOP_CLI__NATS_CREDENTIALS_FILE", str(town.city.credentials(ACCOUNTS)))
    monkeypatch.setenv("MAASLOOP_CLI__NATS_CA_FILE", str(town.tls.authority))
    return lambda *arguments: maasloop("--root", str(tmp_path), "--nats", town.server.url, *arguments)


@asynccontextmanager
async def _connected(town: Town, credentials: Path) -> AsyncIterator[asyncio.Event]:
    """Connect, and yield what is set when the broker closes the connection."""
    closed = asyncio.Event()

    async def gone() -> None:
        closed.set()

    link = Client()
    options: dict[str, Any] = {"user_credentials": str(credentials), "tls": town.tls_context()}
    await link.connect(town.server.url, **options, allow_reconnect=False, disconnected_cb=gone)
    try:
        yield closed
    finally:
        await link.close()


async def _add(town: Town, integrator: str) -> None:
    """Give an integrator an account, and tell the server."""
    town.city.add_integrator(integrator)
    async with town.connected(ACCOUNTS) as system:
        token = town.city.token(integrator_account(integrator)).encode()
        await system.ask("$SYS.REQ.CLAIMS.UPDATE", token, timeout_s=WAIT_S)


async def _is_out(town: Town, credentials: Path, told: Callable[..., Any], *command: str) -> None:
    """Require that a connection ends by a command, and that the same credential opens no other."""
    async with _connected(town, credentials) as closed:
        ended = await asyncio.to_thread(told, "revoke", *command)
        assert ended.status == 0, ended.error
        await asyncio.wait_for(closed.wait(), WAIT_S)
    with pytest.raises(NatsError):
        async with _connected(town, credentials):
            pass


async def test_a_revoked_integrator_is_out(town: Town, told: Callable[..., Any]) -> None:
    """Its connection is closed, its credential void, and another integrator stays."""
    name = "integrator-weather"
    for integrator in ("weather", "tram"):
        await _add(town, integrator)
    async with _connected(town, town.city.credentials("integrator-tram")) as other:
        await _is_out(town, town.city.credentials(name), told, "integrator", "weather")
        assert not other.is_set()

    await _add(town, "weather")
    async with _connected(town, town.city.credentials(name)):
        pass


async def test_a_revoked_service_is_out(town: Town, told: Callable[..., Any]) -> None:
    """Its connection is closed and its credential void; the other services stay."""
    async with _connected(town, town.city.credentials("consent")) as other:
        await _is_out(town, town.city.credentials("ingest"), told, "service", "ingest")
        assert not other.is_set()
