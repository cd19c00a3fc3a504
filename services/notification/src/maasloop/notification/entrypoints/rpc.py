"""The gRPC door: NotificationService."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from maasloop.api.notification.v1 import alert_pb2
from maasloop.api.notification.v1 import notification_service_pb2 as pb
from maasloop.api.notification.v1.notification_service_pb2_grpc import (
    NotificationServiceServicer,
    add_NotificationServiceServicer_to_server,
)
from maasloop.core.clock import to_us
from maasloop.core.errors import InvalidArgument
from maasloop.core.ids import DistrictName, parse_name, require_id
from maasloop.core.reasons import Reason
from maasloop.identity.principals import Kind
from maasloop.notification.domain.alert import AlertState
from maasloop.notification.domain.delivery import DeliveryState
from maasloop.notification.entrypoints import messages
from maasloop.notification.handlers.acknowledge_alert import AcknowledgeAlert
from maasloop.notification.handlers.create_rule import CreateRule
from maasloop.notification.handlers.create_subscription import CreateSubscription
from maasloop.notification.handlers.delete_rule import DeleteRule
from maasloop.notification.handlers.delete_subscription import DeleteSubscription
from maasloop.notification.handlers.grant_rule import GrantRule
from maasloop.notification.handlers.resolve_alert import ResolveAlert
from maasloop.notification.ports import Alerts, Deliveries, DeliveryFilter, Rules, Subscriptions, TimedPosition
from maasloop.rpc.authentication import caller
from maasloop.rpc.requests import Paging, paging, request_digest, request_of
from maasloop.rpc.server import RpcServer
from maasloop.rpc.step_up import StepUp

type Context = grpc.aio.ServicerContext[Any, Any]

ALERTS = ("districts", "alerts")
SUBSCRIPTIONS = ("districts", "subscriptions")
ETAG_DIGITS = 16
PERSONS = frozenset({Kind.PERSON, Kind.OPERATOR})
"""Who can be a second person: no program agrees to anything."""


class NotificationDoor(NotificationServiceServicer):
    """NotificationService."""

    def __init__(
        self,
        *,
        create_rule: CreateRule,
        grant_rule: GrantRule,
        delete_rule: DeleteRule,
        acknowledge_alert: AcknowledgeAlert,
        resolve_alert: ResolveAlert,
        create_subscription: CreateSubscription,
        delete_subscription: DeleteSubscription,
        rules: Rules,
        alerts: Alerts,
        subscriptions: Subscriptions,
        deliveries: Deliveries,
        rules_changed: Callable[[], Awaitable[None]],
        step_up: StepUp,
    ) -> None:
        self._create_rule = create_rule
        self._grant_rule = grant_rule
        self._delete_rule = delete_rule
        self._acknowledge_alert = acknowledge_alert
        self._resolve_alert = resolve_alert
        self._create_subscription = create_subscription
        self._delete_subscription = delete_subscription
        self._rules = rules
        self._alerts = alerts
        self._subscriptions = subscriptions
        self._deliveries = deliveries
        self._rules_changed = rules_changed
        self._step_up = step_up

    def register(self, server: RpcServer) -> None:
        """Serve on this server."""
        add_NotificationServiceServicer_to_server(self, server.registrar)

    async def CreateAlertRule(self, request: pb.CreateAlertRuleRequest, context: Context) -> alert_pb2.AlertRule:
        """Create a rule."""
        etag = request_digest(request.alert_rule).hex()[:ETAG_DIGITS]
        who = caller()
        wanted = messages.rule_from(request.alert_rule, request.alert_rule_id, etag, str(who or ""))

        def require_proof() -> None:
            if who is not None:
                self._step_up.require(who)

        stored = await self._create_rule(wanted, request_of(request, "CreateAlertRule"), require_proof)
        # Readings that come after the answer are judged by the rule.
        await self._rules_changed()
        return messages.rule_message(stored)

    async def GrantAlertRule(self, request: pb.GrantAlertRuleRequest, context: Context) -> alert_pb2.AlertRule:
        """Agree to a rule that tells very many."""
        who = caller()
        by_person = who is not None and who.kind in PERSONS
        rule = await self._grant_rule(parse_name(request.name, messages.RULES)[0], str(who or ""), by_person=by_person)
        await self._rules_changed()
        return messages.rule_message(rule)

    async def ListAlertRules(self, request: pb.ListAlertRulesRequest, context: Context) -> pb.ListAlertRulesResponse:
        """List rules."""
        district = DistrictName.parse(request.parent).district if request.parent else ""
        page = paging(request, parent=request.parent)
        found = await self._rules.page(district, after=page.after_id, limit=page.limit)
        token = page.next_token([found.items[-1].id] if found.items else [], more=found.more)
        return pb.ListAlertRulesResponse(
            alert_rules=[messages.rule_message(rule) for rule in found.items], next_page_token=token
        )

    async def DeleteAlertRule(self, request: pb.DeleteAlertRuleRequest, context: Context) -> pb.DeleteAlertRuleResponse:
        """Delete a rule."""
        await self._delete_rule(parse_name(request.name, messages.RULES)[0])
        await self._rules_changed()
        return pb.DeleteAlertRuleResponse()

    async def ListAlerts(self, request: pb.ListAlertsRequest, context: Context) -> pb.ListAlertsResponse:
        """List alerts."""
        district = DistrictName.parse(request.parent).district
        state = alert_pb2.Alert.State.Name(_known(alert_pb2.Alert.State.values(), request.state))
        page = paging(request, parent=request.parent, state=state)
        wanted = AlertState(state.removeprefix("STATE_")) if request.state else None
        found = await self._alerts.page(district, wanted, after=_before(page), limit=page.limit)
        last = [str(to_us(found.items[-1].raise_time)), found.items[-1].id] if found.items else []
        return pb.ListAlertsResponse(
            alerts=[messages.alert_message(alert) for alert in found.items],
            next_page_token=page.next_token(last, more=found.more),
        )

    async def AcknowledgeAlert(self, request: pb.AcknowledgeAlertRequest, context: Context) -> alert_pb2.Alert:
        """Take an alert."""
        district, alert = parse_name(request.name, *ALERTS)
        acknowledger = request.acknowledger or str(caller() or "")
        if not acknowledger:
            message = "say who takes it: callers are not identified here"
            raise InvalidArgument(Reason.REQUEST_INVALID, message, {"field": "acknowledger", "rule": "required"})
        return messages.alert_message(await self._acknowledge_alert(district, alert, acknowledger))

    async def ResolveAlert(self, request: pb.ResolveAlertRequest, context: Context) -> alert_pb2.Alert:
        """End an alert."""
        district, alert = parse_name(request.name, *ALERTS)
        return messages.alert_message(await self._resolve_alert(district, alert))

    async def CreateSubscription(
        self, request: pb.CreateSubscriptionRequest, context: Context
    ) -> alert_pb2.Subscription:
        """Create a subscription."""
        district = DistrictName.parse(request.parent).district
        require_id(request.subscription_id, "subscription_id")
        wanted = messages.subscription_from(request.subscription, district, request.subscription_id)
        stored = await self._create_subscription(wanted, request_of(request, "CreateSubscription"))
        return messages.subscription_message(stored, with_secret=True)

    async def ListSubscriptions(
        self, request: pb.ListSubscriptionsRequest, context: Context
    ) -> pb.ListSubscriptionsResponse:
        """List subscriptions."""
        district = DistrictName.parse(request.parent).district
        page = paging(request, parent=request.parent)
        found = await self._subscriptions.page(district, after=page.after_id, limit=page.limit)
        token = page.next_token([found.items[-1].id] if found.items else [], more=found.more)
        return pb.ListSubscriptionsResponse(
            subscriptions=[messages.subscription_message(item, with_secret=False) for item in found.items],
            next_page_token=token,
        )

    async def DeleteSubscription(
        self, request: pb.DeleteSubscriptionRequest, context: Context
    ) -> pb.DeleteSubscriptionResponse:
        """Delete a subscription."""
        await self._delete_subscription(*parse_name(request.name, *SUBSCRIPTIONS))
        return pb.DeleteSubscriptionResponse()

    async def ListDeliveries(self, request: pb.ListDeliveriesRequest, context: Context) -> pb.ListDeliveriesResponse:
        """List deliveries."""
        district = DistrictName.parse(request.parent).district
        state = alert_pb2.Delivery.State.Name(_known(alert_pb2.Delivery.State.values(), request.state))
        page = paging(request, parent=request.parent, state=state, alert=request.alert)
        wanted = DeliveryFilter(
            district,
            DeliveryState(state.removeprefix("STATE_")) if request.state else None,
            parse_name(request.alert, *ALERTS)[1] if request.alert else None,
        )
        found = await self._deliveries.page(wanted, after=_before(page), limit=page.limit)
        last = [str(to_us(found.items[-1].create_time)), found.items[-1].id] if found.items else []
        return pb.ListDeliveriesResponse(
            deliveries=[messages.delivery_message(delivery) for delivery in found.items],
            next_page_token=page.next_token(last, more=found.more),
        )


def _before(page: Paging) -> TimedPosition | None:
    """Return the time and id before which a page begins, nothing for the first."""
    return TimedPosition(int(page.position[0]), page.position[1]) if page.position else None


def _known[State: int](states: list[State], state: State) -> State:
    if state not in states:
        message = f"there is no state {state}"
        raise InvalidArgument(Reason.REQUEST_INVALID, message, {"field": "state", "rule": "enum.defined_only"})
    return state
