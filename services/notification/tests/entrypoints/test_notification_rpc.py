"""NotificationService as a caller sees it: create, list, delete, and every refusal with its reason."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
import standardwebhooks
from google.protobuf.duration_pb2 import Duration

from maasloop.api.notification.v1 import notification_service_pb2 as pb
from maasloop.api.notification.v1.alert_pb2 import (
    Alert,
    AlertRule,
    Delivery,
    Email,
    ObservationCondition,
    SilenceCondition,
    Subscription,
    Webhook,
)
from maasloop.core.clock import SystemClock
from maasloop.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, MaasloopError, NotFound
from maasloop.notification.adapters.postgres import PostgresSubscriptions
from maasloop.notification.adapters.vault import PREFIX, Vault
from maasloop.notification.domain import subscription as domain
from maasloop.postgres.pool import open_pool
from maasloop.rpc.client import call

if TYPE_CHECKING:
    from services.notification.tests.conftest import City, Eventually, Running

NOORD = "districts/noord"
TEXTS = {"nl": "{device}", "en": "{device}"}
HOOK = Subscription(language="nl", categories=["air"], webhook=Webhook(url="https://desk.example/hook"))


def _rule(condition: str = "value > 75.0", **changed: object) -> AlertRule:
    fields: dict[str, object] = {
        "district": "noord",
        "category": "air",
        "observation": ObservationCondition(observed_property="pm25", raise_condition=condition),
        "title": TEXTS,
        "body": TEXTS,
        **changed,
    }
    return AlertRule(**fields)  # type: ignore[arg-type]  # each field has its own type


async def _refusal[T](kind: type[MaasloopError], answer: Awaitable[T]) -> MaasloopError:
    with pytest.raises(kind) as refused:
        await answer
    return refused.value


async def test_a_rule_reads_as_it_was_created(notification: "Running") -> None:
    """A rule comes back whole, with its name and an etag, and is listed by name in pages."""
    silence = SilenceCondition(observed_property="pm25", after=Duration(seconds=120))
    created = [
        await notification.create_rule(_rule(), "b-rule"),
        await notification.create_rule(_rule(observation=None, silence=silence), "a-rule"),
    ]
    assert created[0].name == "alertRules/b-rule"
    assert created[0].etag

    first = await call(notification.stub.ListAlertRules, pb.ListAlertRulesRequest(page_size=1))
    rest = pb.ListAlertRulesRequest(page_size=1, page_token=first.next_page_token)
    second = await call(notification.stub.ListAlertRules, rest)
    assert [*first.alert_rules, *second.alert_rules] == [created[1], created[0]]
    assert (bool(first.next_page_token), second.next_page_token) == (True, "")


IMPOSSIBLE_RULES = [
    (_rule("value >"), "POLICY_INVALID"),
    (_rule("speed > 1.0"), "POLICY_INVALID"),
    (_rule("value"), "POLICY_INVALID"),
    (_rule(""), "REQUEST_INVALID"),
    (_rule(observation=None), "REQUEST_INVALID"),
    (_rule(title={"nl": "a"}), "REQUEST_INVALID"),
    (_rule(title={"nl": "a", "en": "b", "de": "c"}), "REQUEST_INVALID"),
    (_rule(body={"nl": "{who}", "en": "b"}), "REQUEST_INVALID"),
    (_rule(district="No District"), "ID_MALFORMED"),
    (_rule(category="a b"), "ID_MALFORMED"),
    (
        _rule(observation=None, silence=SilenceCondition(observed_property="pm25", after=Duration(nanos=1))),
        "REQUEST_INVALID",
    ),
]


async def test_a_rule_that_cannot_work_is_refused(notification: "Running") -> None:
    """What does not compile, has no texts or watches nothing is refused on write, with a reason."""
    for rule, reason in IMPOSSIBLE_RULES:
        assert (await _refusal(InvalidArgument, notification.create_rule(rule))).reason == reason, rule
    assert not (await call(notification.stub.ListAlertRules, pb.ListAlertRulesRequest())).alert_rules


async def test_the_same_request_gets_the_same_answer(notification: "Running") -> None:
    """A repeated creation returns what it returned before, secret included; the id for another request is refused."""
    request_id = str(uuid4())
    request = pb.CreateSubscriptionRequest(
        parent=NOORD, subscription_id="desk", subscription=HOOK, request_id=request_id
    )
    first = await call(notification.stub.CreateSubscription, request)
    assert await call(notification.stub.CreateSubscription, request) == first

    other = pb.CreateSubscriptionRequest(
        parent=NOORD, subscription_id="desk-2", subscription=HOOK, request_id=request_id
    )
    refusal = await _refusal(FailedPrecondition, call(notification.stub.CreateSubscription, other))
    assert refusal.reason == "REQUEST_ID_REUSED"

    rule = pb.CreateAlertRuleRequest(alert_rule_id="soot", alert_rule=_rule(), request_id=str(uuid4()))
    stored = await call(notification.stub.CreateAlertRule, rule)
    assert await call(notification.stub.CreateAlertRule, rule) == stored


async def test_a_name_is_taken_once(notification: "Running") -> None:
    """Another rule or subscription of the same name is refused."""
    await notification.create_rule(_rule())
    assert (await _refusal(AlreadyExists, notification.create_rule(_rule()))).reason == "RESOURCE_EXISTS"
    await notification.subscribe("desk", HOOK)
    assert (await _refusal(AlreadyExists, notification.subscribe("desk", HOOK))).reason == "RESOURCE_EXISTS"


async def test_a_secret_is_shown_once(notification: "Running") -> None:
    """The service makes a secret that Standard Webhooks can use, and lists subscriptions without it."""
    created = await notification.subscribe("desk", HOOK)
    assert created.webhook.secret.startswith("whsec_")
    standardwebhooks.Webhook(created.webhook.secret)
    listed = await call(notification.stub.ListSubscriptions, pb.ListSubscriptionsRequest(parent=NOORD))
    assert [one.webhook for one in listed.subscriptions] == [Webhook(url="https://desk.example/hook")]


async def test_a_secret_cannot_be_read_from_the_database(notification: "Running") -> None:
    """Neither the table nor what is kept for repeated requests holds it; what lay there plainly is sealed at a start."""
    request = pb.CreateSubscriptionRequest(
        parent=NOORD, subscription_id="desk", subscription=HOOK, request_id=str(uuid4())
    )
    created = await call(notification.stub.CreateSubscription, request)
    again = await call(notification.stub.CreateSubscription, request)
    assert again == created
    async with await psycopg.AsyncConnection.connect(notification.dsn, autocommit=True) as database:
        asked = "SELECT s::text FROM subscriptions AS s UNION ALL SELECT body::text FROM answers"
        stored = str(await (await database.execute(asked)).fetchall())
        assert created.webhook.secret.removeprefix("whsec_") not in stored
        await database.execute("UPDATE subscriptions SET webhook_secret = %s", (created.webhook.secret,))
    async with open_pool(notification.dsn, name="test-vault") as pool:
        subscriptions = PostgresSubscriptions(pool, SystemClock(), Vault([bytes(32)]))
        assert [await subscriptions.seal_plain() for _ in range(2)] == [1, 0]
        (listed,) = (await subscriptions.page("noord", after="", limit=5)).items
    assert isinstance(listed.channel, domain.Webhook)
    assert listed.channel.secret.startswith(PREFIX)


UNUSABLE_SUBSCRIPTIONS = [
    (Subscription(language="nl"), "REQUEST_INVALID"),
    (Subscription(language="de", email=Email(address="a@b.example")), "REQUEST_INVALID"),
    (Subscription(language="nl", email=Email(address="nobody")), "REQUEST_INVALID"),
    (Subscription(language="nl", webhook=Webhook(url="ftp://desk.example/")), "ADDRESS_INVALID"),
    (Subscription(language="nl", webhook=Webhook(url="http://user:pass@desk.example/")), "ADDRESS_INVALID"),
    (Subscription(language="nl", webhook=Webhook(url="http:///hook")), "ADDRESS_INVALID"),
    (Subscription(language="nl", webhook=Webhook(url="http://a.example/", secret="short")), "REQUEST_INVALID"),
    (
        Subscription(language="nl", webhook=Webhook(url="http://a.example/", secret="whsec_c2hvcnQ=")),
        "REQUEST_INVALID",
    ),
]


async def test_an_unusable_subscription_is_refused(notification: "Running") -> None:
    """A channel that nothing could be delivered to is refused on write."""
    for subscription, reason in UNUSABLE_SUBSCRIPTIONS:
        refusal = await _refusal(InvalidArgument, notification.subscribe("desk", subscription))
        assert refusal.reason == reason, subscription


async def test_what_does_not_exist_is_not_found(notification: "Running") -> None:
    """Every method that names a resource says that there is none."""
    stub = notification.stub
    calls = [
        call(stub.DeleteAlertRule, pb.DeleteAlertRuleRequest(name="alertRules/none")),
        call(stub.ResolveAlert, pb.ResolveAlertRequest(name=f"{NOORD}/alerts/none")),
        call(stub.AcknowledgeAlert, pb.AcknowledgeAlertRequest(name=f"{NOORD}/alerts/none", acknowledger="anna")),
        call(stub.DeleteSubscription, pb.DeleteSubscriptionRequest(name=f"{NOORD}/subscriptions/none")),
    ]
    for one in calls:
        assert (await _refusal(NotFound, one)).reason == "RESOURCE_NOT_FOUND"


async def test_who_takes_an_alert_is_told(notification: "Running", city: "City", eventually: "Eventually") -> None:
    """Where callers are not identified, a call that says nobody's name takes nothing."""
    (alert,) = await _raised(notification, city, eventually, 1)
    refusal = await _refusal(
        InvalidArgument, call(notification.stub.AcknowledgeAlert, pb.AcknowledgeAlertRequest(name=alert.name))
    )
    assert dict(refusal.metadata) == {"field": "acknowledger", "rule": "required"}
    assert [one.state for one in await notification.alerts()] == [Alert.STATE_RAISED]


async def _raised(notification: "Running", city: "City", eventually: "Eventually", count: int) -> list[Alert]:
    await notification.create_rule(_rule())
    await city.readings("pm25", [(f"station-{number}", 1_000_000, 80.0) for number in range(count)])

    async def all_of_them() -> list[Alert] | None:
        found = list(await notification.alerts())
        return found if len(found) == count else None

    found: list[Alert] = await eventually(all_of_them)
    return found


async def test_alerts_are_listed_by_state_in_pages(
    notification: "Running", city: "City", eventually: "Eventually"
) -> None:
    """Pages hold every alert once; a filter by state leaves the others out; a token of other arguments is refused."""
    found = await _raised(notification, city, eventually, 5)
    stub = notification.stub
    names: list[str] = []
    token = ""
    while True:
        request = pb.ListAlertsRequest(parent=NOORD, page_size=2, page_token=token)
        page = await call(stub.ListAlerts, request)
        names += [alert.name for alert in page.alerts]
        token = page.next_page_token
        if not token:
            break
        foreign = pb.ListAlertsRequest(parent="districts/zuid", page_token=token)
        assert (await _refusal(InvalidArgument, call(stub.ListAlerts, foreign))).reason == "PAGE_TOKEN_INVALID"
    assert names == [alert.name for alert in found]

    await call(stub.ResolveAlert, pb.ResolveAlertRequest(name=names[0]))
    over = await call(stub.ListAlerts, pb.ListAlertsRequest(parent=NOORD, state=Alert.STATE_RESOLVED))
    assert [alert.name for alert in over.alerts] == names[:1]
    late = pb.AcknowledgeAlertRequest(name=names[0], acknowledger="anna")
    assert (await _refusal(FailedPrecondition, call(stub.AcknowledgeAlert, late))).reason == "ALERT_STATE_FORBIDS"
    again = await call(stub.ResolveAlert, pb.ResolveAlertRequest(name=names[0]))
    assert again == over.alerts[0]


async def test_a_deleted_rule_resolves_its_alerts(
    notification: "Running", city: "City", eventually: "Eventually"
) -> None:
    """With the rule goes the watch: its alerts are resolved, and the next reading raises nothing."""
    await _raised(notification, city, eventually, 2)
    await call(notification.stub.DeleteAlertRule, pb.DeleteAlertRuleRequest(name="alertRules/a-rule"))
    assert {alert.state for alert in await notification.alerts()} == {Alert.STATE_RESOLVED}
    await city.readings("pm25", [("station-0", 2_000_000, 80.0)])
    await notification.create_rule(_rule(), "other-rule")
    await city.readings("pm25", [("station-9", 3_000_000, 80.0)])

    async def newest() -> Alert | None:
        return next((alert for alert in await notification.alerts() if alert.device == "station-9"), None)

    assert await eventually(newest)
    assert len(await notification.alerts()) == 3


async def test_a_deleted_subscription_fails_what_waits_for_it(
    notification: "Running", city: "City", eventually: "Eventually"
) -> None:
    """Pending deliveries of a subscription that goes are failed with a reason, and it is told nothing more."""
    await notification.subscribe("gone", Subscription(language="nl", webhook=Webhook(url="http://127.0.0.1:1/")))
    await notification.subscribe("deaf", Subscription(language="nl", categories=["water"], webhook=HOOK.webhook))
    alert = (await _raised(notification, city, eventually, 1))[0]
    await call(notification.stub.DeleteSubscription, pb.DeleteSubscriptionRequest(name=f"{NOORD}/subscriptions/gone"))
    request = pb.ListDeliveriesRequest(parent=NOORD, alert=alert.name)
    deliveries = (await call(notification.stub.ListDeliveries, request)).deliveries
    assert [(one.state, one.subscription) for one in deliveries] == [
        (Delivery.STATE_FAILED, f"{NOORD}/subscriptions/gone")
    ]
    assert deliveries[0].reason in {"ADDRESS_INVALID", "DELIVERY_EXHAUSTED"}
