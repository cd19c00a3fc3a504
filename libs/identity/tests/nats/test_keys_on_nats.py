"""The real nats-server takes what is signed here, and nothing else."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from maasloop.identity.nats.claims import Account, Export, Import, Rights, Sharing, User, operator_claims
from maasloop.identity.nats.credentials import credentials_text
from maasloop.identity.nats.keys import KeyPair, Role
from maasloop.identity.nats.tokens import sign
from maasloop.identity.secret_files import write_secret
from maasloop.stack.servers.nats import NatsServer
from maasloop.testing.providers import scratch_directory

pytestmark = pytest.mark.integration

OPERATOR, SYSTEM, SENDER, HEARER = (
    KeyPair.generate(Role.OPERATOR),
    *(KeyPair.generate(Role.ACCOUNT) for _ in range(3)),
)
CLAIMS_UPDATE = "$SYS.REQ.CLAIMS.UPDATE"


def _account(key: KeyPair, name: str, account: Account) -> str:
    return sign(account.claims(), subject=key.public_key, name=name, signer=OPERATOR, issued_at=1)


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    """A server in operator mode that knows one account beside its own."""
    operator = sign(
        operator_claims(SYSTEM.public_key), subject=OPERATOR.public_key, name="city", signer=OPERATOR, issued_at=1
    )
    known = {
        SYSTEM.public_key: _account(SYSTEM, "SYS", Account()),
        SENDER.public_key: _account(SENDER, "sender", Account(exports=(Export("told", "told.>", Sharing.STREAM),))),
    }
    with scratch_directory() as directory:
        text = f"""
operator: {operator}
system_account: {SYSTEM.public_key}
resolver {{ type: full, dir: "{directory}/accounts", allow_delete: true }}
resolver_preload: {json.dumps(known)}
"""
        running = NatsServer(directory / "nats", extra_configuration=text)
        running.start()
        yield running
        running.stop()


async def _connect(server: NatsServer, directory: Path, account: KeyPair, rights: Rights) -> Client:
    user = KeyPair.generate(Role.USER)
    token = sign(User(rights).claims(), subject=user.public_key, name="test", signer=account, issued_at=1)
    path = directory / f"{user.public_key}.creds"
    write_secret(path, credentials_text(token, user.seed).encode())
    client = Client()
    try:
        await client.connect(
            server.url, user_credentials=str(path), allow_reconnect=False, error_cb=_quiet, connect_timeout=20
        )
    except NatsError:
        await client.close()
        raise
    return client


async def _quiet(_: Exception) -> None:
    """Leave refusals to what the test sees."""


async def test_an_account_comes_while_the_server_runs(server: NatsServer, tmp_path: Path) -> None:
    """An account pushed by the system account connects at once and hears what it imports, nothing else."""
    system = await _connect(server, tmp_path, SYSTEM, Rights((CLAIMS_UPDATE,), ("_INBOX.>",)))
    imported = Import("told", "told.>", SENDER.public_key, Sharing.STREAM)
    pushed = _account(HEARER, "hearer", Account(imports=(imported,)))
    answer = json.loads((await system.request(CLAIMS_UPDATE, pushed.encode(), timeout=20)).data)
    assert answer["data"]["code"] == 200, answer

    hearer = await _connect(server, tmp_path, HEARER, Rights(subscribe=("told.>", "secret.>")))
    sender = await _connect(server, tmp_path, SENDER, Rights(publish=("told.>", "secret.>")))
    try:
        assert await _heard(hearer, sender) == {"told.a"}
    finally:
        for client in (system, hearer, sender):
            await client.close()


async def _heard(hearer: Client, sender: Client) -> set[str]:
    """Return the subjects that reach the hearer of "secret.a" and "told.a", each told until one of them arrives.

    One message alone shows nothing: without a stream it is kept for nobody, and the two accounts may be
    linked a moment after both have connected.
    """
    heard: set[str] = set()
    arrived = asyncio.Event()

    async def hear(message: object) -> None:
        heard.add(str(getattr(message, "subject", "")))
        arrived.set()

    for subject in ("told.>", "secret.>"):
        await hearer.subscribe(subject, cb=hear)
    await hearer.flush()
    async with asyncio.timeout(60):
        while not arrived.is_set():
            await sender.publish("secret.a", b"")
            await sender.publish("told.a", b"")
            await sender.flush()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(arrived.wait(), 1)
    return heard


async def test_a_stranger_stays_outside(server: NatsServer, tmp_path: Path) -> None:
    """A user signed by a key that the operator does not know is refused."""
    with pytest.raises(NatsError):
        await _connect(server, tmp_path, KeyPair.generate(Role.ACCOUNT), Rights(publish=(">",)))
