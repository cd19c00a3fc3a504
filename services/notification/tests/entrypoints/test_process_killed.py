"""The service as a real process, killed without warning."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from maasloop.api.notification.v1 import notification_service_pb2 as pb
from maasloop.api.notification.v1.alert_pb2 import AlertRule, Delivery, ObservationCondition, Subscription, Webhook
from maasloop.api.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from maasloop.core.errors import Unavailable
from maasloop.rpc import client
from maasloop.stack.ports import free_ports
from maasloop.stack.services import setting_name
from maasloop.testing.program import program

if TYPE_CHECKING:
    from services.notification.tests.conftest import City, Eventually, FakeRegistry, WebhookReceiver

SOOT = AlertRule(
    district="noord",
    category="air",
    observation=ObservationCondition(observed_property="pm25", raise_condition="value > 75.0"),
    title={"nl": "Stof bij {device}", "en": "Dust at {device}"},
    body={"nl": "{value}", "en": "{value}"},
)


def _started(environment: dict[str, str]) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    command = (sys.executable, "-m", "maasloop.notification")
    return program(*command, stderr=asyncio.subprocess.DEVNULL, environment=environment)


async def test_a_killed_process_loses_nothing(
    service_dsn: Callable[[str], str],
    nats_url: str,
    city: "City",
    registry: "tuple[FakeRegistry, str]",
    receiver: "WebhookReceiver",
    eventually: "Eventually",
    hold: None,
) -> None:
    """Killed in the middle of an attempt and started again, it makes the attempt again and hears what came meanwhile."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    given = {
        "nats_url": nats_url,
        "postgres_dsn": service_dsn("notification"),
        "grpc_address": address,
        "device_registry_address": registry[1],
        "delivery_lease_s": "1",
        "retry_pauses_s": "[0.1, 0.1, 0.1]",
        "insecure_on_loopback": "true",
        "webhook_networks": '["127.0.0.0/8"]',
    }
    environment = {setting_name("notification", field): value for field, value in given.items()}
    async with _started(environment) as first, client.connected(address) as channel:
        stub = NotificationServiceStub(channel)

        async def subscribed() -> Subscription | None:
            assert first.returncode is None, "the process ended: its settings are refused"
            wanted = Subscription(language="nl", webhook=Webhook(url=receiver.url))
            request = pb.CreateSubscriptionRequest(
                parent="districts/noord", subscription_id="desk", subscription=wanted
            )
            try:
                return await client.call(stub.CreateSubscription, request, timeout_s=2.0)
            except Unavailable:
                return None

        receiver.secret = (await eventually(subscribed)).webhook.secret
        await client.call(stub.CreateAlertRule, pb.CreateAlertRuleRequest(alert_rule_id="soot", alert_rule=SOOT))
        await city.readings("pm25", [("station-1", 1_000_000, 80.0)])
        await eventually(lambda: receiver.received)
        first.kill()
        await first.wait()
        assert receiver.hold is not None
        receiver.hold.set()
        await city.readings("pm25", [("station-2", 2_000_000, 80.0)])

        async def all_delivered() -> bool:
            request = pb.ListDeliveriesRequest(parent="districts/noord", state=Delivery.STATE_DELIVERED)
            try:
                return len((await client.call(stub.ListDeliveries, request, timeout_s=2.0)).deliveries) == 2
            except Unavailable:
                return False

        async with _started(environment) as second:
            await eventually(all_delivered)
            second.terminate()
            assert await second.wait() == 0
    assert {payload["data"]["title"] for _, payload in receiver.received} == {
        "Stof bij station-1",
        "Stof bij station-2",
    }
    assert len({identity for identity, _ in receiver.received}) == 2
