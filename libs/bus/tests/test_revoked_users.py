"""Users that are revoked in the token of their account, at the real server."""

import asyncio
import json

import nats
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from maasloop.bus.accounts import CORE, integrator_account
from maasloop.bus.rights import ACCOUNTS
from maasloop.identity.nats.credentials import read_credentials
from maasloop.identity.nats.tokens import read_unverified
from maasloop.testing.town import WAIT_S, Town, running_town

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

WITHIN_S = 5
"""Longest life of a connection after its user was revoked, as it is promised."""


async def _connected(town: Town, user: str) -> tuple[Client, asyncio.Event]:
    """Connect once, without coming back, and return what is set when the server has closed the connection."""
    closed = asyncio.Event()

    async def end() -> None:
        closed.set()

    client = await nats.connect(
        town.server.url,
        user_credentials=str(town.city.credentials(user)),
        tls=town.tls_context(),
        allow_reconnect=False,
        connect_timeout=WAIT_S,
        closed_cb=end,
    )
    return client, closed


async def _push(town: Town, account: str) -> None:
    async with town.connected(ACCOUNTS) as system:
        answer = await system.ask("$SYS.REQ.CLAIMS.UPDATE", town.city.token(account).encode(), timeout_s=WAIT_S)
    assert json.loads(answer)["data"]["code"] == 200


async def test_a_revoked_user_is_out_and_its_neighbours_stay() -> None:
    """An integrator and a service lose their connections within seconds and get no other; another service keeps its own."""
    with running_town() as town:
        town.city.add_integrator("guide")
        await _push(town, integrator_account("guide"))
        clients = {user: await _connected(town, user) for user in ("integrator-guide", "ingest", "consent")}
        token, _ = read_credentials(town.city.credentials("ingest").read_text())

        town.city.revoke(integrator_account("guide"))
        town.city.revoke(CORE, read_unverified(token).subject)
        for account in (integrator_account("guide"), CORE):
            await _push(town, account)

        for user in ("integrator-guide", "ingest"):
            await asyncio.wait_for(clients[user][1].wait(), WITHIN_S)
            with pytest.raises(NatsError):
                await _connected(town, user)
        neighbour, closed = clients["consent"]
        await neighbour.flush(WAIT_S)
        assert not closed.is_set()
        await neighbour.close()
