"""From a reading on the bus to a verified webhook and a mail, with everything between them real."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from maasloop.api.notification.v1 import notification_service_pb2 as pb
from maasloop.api.notification.v1.alert_pb2 import (
    Alert,
    AlertRule,
    CommandCondition,
    Delivery,
    Email,
    ObservationCondition,
    Subscription,
    Webhook,
)
from maasloop.api.notification.v1.events_pb2 import AlertChanged
from maasloop.bus import subjects
from maasloop.bus.pull import Pull
from maasloop.bus.streams import Durable
from maasloop.rpc.client import call

if TYPE_CHECKING:
    from services.notification.tests.conftest import City, Eventually, MailReceiver, Running, WebhookReceiver

SOOT = AlertRule(
    district="noord",
    category="air",
    observation=ObservationCondition(
        observed_property="pm25", raise_condition="value > 75.0", resolve_condition="value < 40.0"
    ),
    title={"nl": "Veel fijnstof bij {device}", "en": "Much fine dust at {device}"},
    body={"nl": "{value} microgram om {time}.", "en": "{value} micrograms at {time}."},
)


async def test_a_reading_becomes_a_webhook_and_a_mail(
    notification: "Running",
    city: "City",
    receiver: "WebhookReceiver",
    mail: "MailReceiver",
    eventually: "Eventually",
) -> None:
    """A reading above the limit reaches a Dutch webhook, signed, and an English mail, each in its language."""
    await notification.create_rule(SOOT)
    hook = await notification.subscribe("desk", Subscription(language="nl", webhook=Webhook(url=receiver.url)))
    receiver.secret = hook.webhook.secret
    await notification.subscribe("team", Subscription(language="en", email=Email(address="team@example.org")))
    await city.readings(
        "pm25", [("station-1", 1_767_225_600_000_000, 80.5), ("station-2", 1_767_225_600_000_000, 12.0)]
    )

    await eventually(lambda: receiver.received)
    await eventually(lambda: mail.taken)

    identity, payload = receiver.received[0]
    assert payload["type"] == "alert.raised"
    assert payload["data"]["title"] == "Veel fijnstof bij station-1"
    assert payload["data"]["body"] == "80,5 microgram om 1 januari 2026 00:00:00 UTC."
    assert mail.taken[0]["subject"] == "Alert: Much fine dust at station-1"
    assert "80.5 micrograms at 1 January 2026 00:00:00 UTC." in mail.taken[0].get_content()

    async def delivered() -> Sequence[Delivery]:
        done = await notification.deliveries(Delivery.STATE_DELIVERED)
        return done if len(done) == 2 else []

    deliveries = await eventually(delivered)
    assert {delivery.channel for delivery in deliveries} == {"webhook", "email"}
    assert identity in {delivery.name.rpartition("/")[2] for delivery in deliveries}
    assert (receiver.forged, len(receiver.received), len(mail.taken)) == (0, 1, 1)


async def test_an_alert_lives_from_raised_to_resolved(
    notification: "Running",
    city: "City",
    receiver: "WebhookReceiver",
    eventually: "Eventually",
) -> None:
    """Repeated readings count as occurrences of one alert; a person takes it; a good reading ends it; each is told once."""
    await notification.create_rule(SOOT)
    hook = await notification.subscribe("desk", Subscription(language="en", webhook=Webhook(url=receiver.url)))
    receiver.secret = hook.webhook.secret
    await city.readings("pm25", [("station-1", 1_000_000, 80.0)])
    await city.readings("pm25", [("station-1", 2_000_000, 90.0)])
    await city.readings("pm25", [("station-1", 3_000_000, 50.0)])

    async def seen_twice() -> Alert | None:
        found = await notification.alerts()
        return found[0] if found and found[0].occurrence_count == 2 else None

    alert = await eventually(seen_twice)
    request = pb.AcknowledgeAlertRequest(name=alert.name, acknowledger="anna")
    taken = await call(notification.stub.AcknowledgeAlert, request)
    assert (taken.state, taken.acknowledger) == (Alert.STATE_ACKNOWLEDGED, "anna")
    await city.readings("pm25", [("station-1", 4_000_000, 39.0)])

    await eventually(lambda: len(receiver.received) == 3)
    told = [payload["type"] for _, payload in receiver.received]
    assert told == ["alert.raised", "alert.acknowledged", "alert.resolved"]
    ended = await notification.alerts()
    assert [one.state for one in ended] == [Alert.STATE_RESOLVED]
    assert len({identity for identity, _ in receiver.received}) == 3


async def test_a_failed_command_raises_and_a_verified_one_resolves(
    notification: "Running",
    city: "City",
    eventually: "Eventually",
) -> None:
    """A rule over command outcomes raises on a failure and resolves on what it was told to resolve on."""
    rule = AlertRule(
        district="noord",
        category="light",
        command=CommandCondition(raise_condition='state == "FAILED"', resolve_condition='state == "VERIFIED"'),
        title={"nl": "{device} gehoorzaamt niet", "en": "{device} does not obey"},
        body={"nl": "{value}", "en": "{value}"},
    )
    await notification.create_rule(rule)
    await city.settled("lamp-1", "FAILED", "DEVICE_REFUSED")
    await city.settled("lamp-1", "SUPERSEDED", "COMMAND_SUPERSEDED")

    async def raised() -> Alert | None:
        return next(iter(await notification.alerts()), None)

    alert = await eventually(raised)
    assert (alert.state, alert.body["en"]) == (Alert.STATE_RAISED, "FAILED (DEVICE_REFUSED)")
    await city.settled("lamp-1", "VERIFIED", "EFFECT_OBSERVED")

    async def resolved() -> bool:
        return (await notification.alerts())[0].state == Alert.STATE_RESOLVED

    await eventually(resolved)


async def test_every_change_of_an_alert_is_a_fact_on_the_bus(
    notification: "Running",
    city: "City",
    eventually: "Eventually",
) -> None:
    """Raised and resolved travel on the stream ALERTS with the alert as it was then."""
    await notification.create_rule(SOOT)
    durable = Durable("test-alerts", "ALERTS", "test")
    answer = await city.bus.api(
        "CONSUMER.DURABLE.CREATE.ALERTS.test-alerts", {"stream_name": "ALERTS", "config": durable.config()}
    )
    assert "error" not in answer
    await city.readings("pm25", [("station-1", 1_000_000, 80.0), ("station-1", 2_000_000, 10.0)])
    facts: list[tuple[str, Alert]] = []
    async with Pull(city.bus, durable) as pull, asyncio.timeout(50):
        while len(facts) < 2:
            for delivery in await pull.take(10, wait_s=1.0):
                await delivery.ack()
                facts.append((delivery.subject, AlertChanged.FromString(delivery.body).alert))

    assert [subject for subject, _ in facts] == [
        subjects.ALERT_RAISED.subject("noord", "station-1"),
        subjects.ALERT_RESOLVED.subject("noord", "station-1"),
    ]
    assert [alert.state for _, alert in facts] == [Alert.STATE_RAISED, Alert.STATE_RESOLVED]
