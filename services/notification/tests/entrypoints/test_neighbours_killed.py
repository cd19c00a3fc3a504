"""Database and broker, killed while the service runs: it goes on when they are back, and nothing that was stored is lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from maasloop.api.notification.v1.alert_pb2 import AlertRule, ObservationCondition, Subscription, Webhook
from maasloop.bus import connection as bus_connection
from maasloop.bus.ensure import ensure
from maasloop.core.errors import MaasloopError
from maasloop.notification.app import PACKAGE
from maasloop.postgres.migrate import migrate, of_package
from maasloop.stack.servers.databases import DATABASE, role_name
from maasloop.stack.servers.nats import NatsServer
from maasloop.stack.servers.postgres import PostgresServer

if TYPE_CHECKING:
    from services.notification.tests.conftest import City, Eventually, Running, Start, WebhookReceiver

SOOT = AlertRule(
    district="noord",
    category="air",
    observation=ObservationCondition(observed_property="pm25", raise_condition="value > 75.0"),
    title={"nl": "Stof bij {device}", "en": "Dust at {device}"},
    body={"nl": "{value}", "en": "{value}"},
)


async def _told(receiver: "WebhookReceiver", eventually: "Eventually", *devices: str) -> None:
    wanted = {f"Stof bij {device}" for device in devices}
    await eventually(lambda: {payload["data"]["title"] for _, payload in receiver.received} == wanted)


async def _prepared(notification: "Running", receiver: "WebhookReceiver") -> None:
    hook = Subscription(language="nl", webhook=Webhook(url=receiver.url))
    receiver.secret = (await notification.subscribe("desk", hook)).webhook.secret
    await notification.create_rule(SOOT)


async def test_a_killed_database_delays_alerts(
    postgres_process: PostgresServer,
    start: "Start",
    city: "City",
    receiver: "WebhookReceiver",
    eventually: "Eventually",
) -> None:
    """Readings that come while the database is away wait in the stream; every task lives on and the alert follows."""
    dsn = postgres_process.dsn(DATABASE, role_name("notification"))
    await migrate(dsn, of_package(PACKAGE))
    notification = await start(postgres_dsn=SecretStr(dsn))
    await _prepared(notification, receiver)
    await city.readings("pm25", [("station-1", 1_000_000, 80.0)])
    await _told(receiver, eventually, "station-1")

    await asyncio.to_thread(postgres_process.kill9)
    await city.readings("pm25", [("station-2", 1_000_000, 80.0)])
    with pytest.raises(MaasloopError):
        await notification.alerts()
    await asyncio.to_thread(postgres_process.start)

    await _told(receiver, eventually, "station-1", "station-2")
    assert not [task for task in notification.tasks if task.done()]


@pytest.fixture(name="killable")
async def _killable(nats_process: NatsServer, city: "City") -> "AsyncIterator[City]":
    async with bus_connection.connect(nats_process.url, name="test") as bus:
        await ensure(bus)
        yield type(city)(bus)


async def test_a_killed_broker_delays_alerts(
    nats_process: NatsServer,
    killable: "City",
    start: "Start",
    receiver: "WebhookReceiver",
    eventually: "Eventually",
) -> None:
    """After the broker is back readings are heard and facts leave again; every task lives on."""
    notification = await start(nats_url=nats_process.url)
    await _prepared(notification, receiver)
    await killable.readings("pm25", [("station-1", 1_000_000, 80.0)])
    await _told(receiver, eventually, "station-1")

    await asyncio.to_thread(nats_process.kill9)
    await asyncio.sleep(1.0)
    await asyncio.to_thread(nats_process.start)
    await killable.readings("pm25", [("station-2", 1_000_000, 80.0)])

    await _told(receiver, eventually, "station-1", "station-2")

    async def facts_left() -> bool:
        info = await killable.bus.api("STREAM.INFO.ALERTS")
        return int(info["state"]["messages"]) == 2

    await eventually(facts_left)
    assert not [task for task in notification.tasks if task.done()]
