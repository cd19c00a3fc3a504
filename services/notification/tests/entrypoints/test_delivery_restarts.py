"""Deliveries outlive failures of the receiver and of this process; nothing is lost, and ids stay the same."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from maasloop.api.notification.v1.alert_pb2 import (
    Alert,
    AlertRule,
    Delivery,
    Email,
    ObservationCondition,
    Subscription,
    Webhook,
)
from maasloop.notification.adapters.postgres_deliveries import PostgresDeliveries
from maasloop.notification.handlers.deliver_messages import IN_FLIGHT_PER_SUBSCRIPTION_MAX

if TYPE_CHECKING:
    from services.notification.tests.conftest import City, Eventually, MailReceiver, Running, Start, WebhookReceiver

SOOT = AlertRule(
    district="noord",
    category="air",
    observation=ObservationCondition(observed_property="pm25", raise_condition="value > 75.0"),
    title={"nl": "Stof bij {device}", "en": "Dust at {device}"},
    body={"nl": "{value}", "en": "{value}"},
)


async def _hook(notification: "Running", receiver: "WebhookReceiver") -> None:
    hook = Subscription(language="nl", webhook=Webhook(url=receiver.url))
    receiver.secret = (await notification.subscribe("desk", hook)).webhook.secret


async def _settled(notification: "Running", eventually: "Eventually", count: int = 1) -> Sequence[Delivery]:
    async def all_settled() -> Sequence[Delivery] | None:
        found = await notification.deliveries()
        done = len(found) == count and all(one.state != Delivery.STATE_PENDING for one in found)
        return found if done else None

    found: Sequence[Delivery] = await eventually(all_settled)
    return found


async def _dies_in_an_attempt(
    start: "Start", city: "City", receiver: "WebhookReceiver", eventually: "Eventually"
) -> None:
    """Kill a process while the receiver holds the answer to its attempt, then let the receiver answer."""
    first = await start()
    await _hook(first, receiver)
    await first.create_rule(SOOT)
    await city.readings("pm25", [("station-1", 1_000_000, 80.0)])
    await eventually(lambda: receiver.received)
    await first.end(gently=False)
    assert receiver.hold is not None
    receiver.hold.set()


async def test_a_failing_receiver_is_tried_again(
    notification: "Running", city: "City", receiver: "WebhookReceiver", eventually: "Eventually"
) -> None:
    """Attempts go on by the table until one is taken; every one has the id and the bytes of the first."""
    await _hook(notification, receiver)
    receiver.script = [500, 503]
    await notification.create_rule(SOOT)
    await city.readings("pm25", [("station-1", 1_000_000, 80.0)])

    done = (await _settled(notification, eventually))[0]
    assert (done.state, done.attempt_count, done.detail) == (Delivery.STATE_DELIVERED, 3, "HTTP 204")
    assert len({repr(request) for request in receiver.received}) == 1
    assert len(receiver.received) == 3


async def test_a_delivery_is_given_up_with_a_reason(
    notification: "Running", city: "City", receiver: "WebhookReceiver", mail: "MailReceiver", eventually: "Eventually"
) -> None:
    """After the last pause a delivery is exhausted; one that is refused for good is not tried again."""
    await _hook(notification, receiver)
    await notification.subscribe("team", Subscription(language="en", email=Email(address="team@example.org")))
    receiver.script = [500] * 10
    mail.script = ["550 no such mailbox"]
    await notification.create_rule(SOOT)
    await city.readings("pm25", [("station-1", 1_000_000, 80.0)])

    by_channel = {one.channel: one for one in await _settled(notification, eventually, 2)}
    hook, letter = by_channel["webhook"], by_channel["email"]
    assert (hook.reason, hook.attempt_count, hook.detail) == ("DELIVERY_EXHAUSTED", 4, "HTTP 500")
    assert (letter.reason, letter.attempt_count) == ("DELIVERY_REFUSED", 1)
    assert (len(receiver.received), len(mail.offered)) == (4, 1)


async def test_retries_survive_a_restart(
    start: "Start", city: "City", receiver: "WebhookReceiver", eventually: "Eventually"
) -> None:
    """A process that dies between two attempts is followed by one that makes the next, under the same id."""
    first = await start(retry_pauses_s=(0.5,) * 8)
    await _hook(first, receiver)
    receiver.script = [500]
    await first.create_rule(SOOT)
    await city.readings("pm25", [("station-1", 1_000_000, 80.0)])
    await eventually(lambda: receiver.received)
    await first.end(gently=False)

    second = await start()
    done = (await _settled(second, eventually))[0]
    assert (done.state, done.attempt_count) == (Delivery.STATE_DELIVERED, 2)
    assert len({identity for identity, _ in receiver.received}) == 1


async def test_an_attempt_that_dies_is_made_again(
    start: "Start", city: "City", receiver: "WebhookReceiver", eventually: "Eventually", hold: None
) -> None:
    """A process that dies in the middle of an attempt leaves a delivery that is due again when its loan ends."""
    await _dies_in_an_attempt(start, city, receiver, eventually)

    second = await start()
    done = (await _settled(second, eventually))[0]
    assert done.state == Delivery.STATE_DELIVERED
    assert len({identity for identity, _ in receiver.received}) == 1
    assert len(receiver.received) >= 2


async def test_a_loan_without_end_would_lose_it(
    start: "Start",
    city: "City",
    receiver: "WebhookReceiver",
    eventually: "Eventually",
    hold: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If loans did not end, the same death would leave the delivery pending for ever: the test above can fail."""
    lend = PostgresDeliveries.claim

    async def for_ever(self: PostgresDeliveries, limit: int, busy: Sequence[tuple[str, str]], _: float) -> object:
        return await lend(self, limit, busy, 1e8)

    monkeypatch.setattr(PostgresDeliveries, "claim", for_ever)
    await _dies_in_an_attempt(start, city, receiver, eventually)

    second = await start()
    await asyncio.sleep(2.5)
    assert [one.state for one in await second.deliveries()] == [Delivery.STATE_PENDING]
    assert len(receiver.received) == 1


async def test_one_slow_receiver_does_not_hold_up_others(
    notification: "Running",
    city: "City",
    receiver: "WebhookReceiver",
    mail: "MailReceiver",
    eventually: "Eventually",
    hold: None,
) -> None:
    """A receiver that does not answer has two requests at a time, while the others get everything."""
    await _hook(notification, receiver)
    await notification.subscribe("team", Subscription(language="en", email=Email(address="team@example.org")))
    await notification.create_rule(SOOT)
    await city.readings("pm25", [(f"station-{number}", 1_000_000, 80.0) for number in range(40)])

    await eventually(lambda: len(mail.taken) == 40)
    assert len(receiver.received) == IN_FLIGHT_PER_SUBSCRIPTION_MAX


async def test_an_alert_is_told_in_order(
    notification: "Running", city: "City", receiver: "WebhookReceiver", eventually: "Eventually"
) -> None:
    """That an alert is over is told after it was told that it began, also where the beginning needs several attempts."""
    await _hook(notification, receiver)
    receiver.script = [500, 500]
    await notification.create_rule(SOOT)
    await city.readings("pm25", [("station-1", 1_000_000, 80.0), ("station-1", 2_000_000, 1.0)])

    await _settled(notification, eventually, 2)
    told = [payload["type"] for _, payload in receiver.received]
    assert told == ["alert.raised"] * 3 + ["alert.resolved"]


async def test_readings_that_come_again_change_nothing(
    start: "Start", city: "City", receiver: "WebhookReceiver", eventually: "Eventually"
) -> None:
    """A message that is delivered once more after its effects are committed raises, counts and sends nothing."""
    notification = await start()
    await _hook(notification, receiver)
    await notification.create_rule(SOOT)
    for _ in range(3):
        await city.readings("pm25", [("station-1", 1_000_000, 80.0), ("station-1", 2_000_000, 81.0)])
    await city.readings("pm25", [("station-2", 1_000_000, 80.0)])

    async def last_heard() -> bool:
        return len(await notification.alerts()) == 2

    await eventually(last_heard)
    counts = {alert.device: alert.occurrence_count for alert in await notification.alerts()}
    assert counts == {"station-1": 2, "station-2": 1}
    await _settled(notification, eventually, 2)
    assert len(receiver.received) == 2


async def test_a_rule_may_not_flood_people(start: "Start", city: "City", eventually: "Eventually") -> None:
    """A rule raises only so many alerts a minute; what is beyond is raised by a later reading if it still holds."""
    notification = await start(alerts_per_rule_minute_max=3)
    await notification.create_rule(SOOT)
    await notification.create_rule(SOOT, "another-rule")
    await city.readings("pm25", [(f"station-{number}", 1_000_000, 80.0) for number in range(10)])

    async def enough() -> bool:
        return len(await notification.alerts()) == 6

    await eventually(enough)
    await city.readings("pm25", [(f"station-{number}", 2_000_000, 80.0) for number in range(10)])

    async def counted() -> bool:
        return sum(alert.occurrence_count for alert in await notification.alerts()) == 12

    await eventually(counted)
    assert len(await notification.alerts()) == 6


async def test_two_instances_raise_one_alert(
    start: "Start", city: "City", receiver: "WebhookReceiver", eventually: "Eventually"
) -> None:
    """Instances that share the readings keep one open alert between them, and each message is sent by one of them."""
    first, second = await start(), await start()
    await _hook(first, receiver)
    await first.create_rule(SOOT)

    async def raised() -> bool:
        # The other instance learns of the rule, and of the alert, at its next look.
        now_us = city.clock.now_us()
        await city.readings("pm25", [("station-1", now_us, 80.0)])
        return sum(alert.occurrence_count for alert in await second.alerts()) >= 5

    await eventually(raised)
    assert len(await first.alerts()) == 1

    async def resolved() -> bool:
        await city.readings("pm25", [("station-1", city.clock.now_us(), 10.0)])
        return all(alert.state == Alert.STATE_RESOLVED for alert in await first.alerts())

    await eventually(resolved)
    await _settled(first, eventually, 2)
    assert [payload["type"] for _, payload in receiver.received] == ["alert.raised", "alert.resolved"]
