"""The composition root: what notification is made of, and who is given what."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import structlog

from maasloop.api.notification.v1 import notification_service_pb2
from maasloop.bus.connection import Bus
from maasloop.core.clock import Clock, SystemClock
from maasloop.core.errors import Retryable
from maasloop.notification.adapters.conditions import CelConditions
from maasloop.notification.adapters.outbound import Outbound
from maasloop.notification.adapters.postgres import PostgresRules, PostgresSubscriptions
from maasloop.notification.adapters.postgres_alerts import PostgresAlerts
from maasloop.notification.adapters.postgres_deliveries import PostgresDeliveries
from maasloop.notification.adapters.postgres_sightings import SightingStore
from maasloop.notification.adapters.registry import RegistryClient
from maasloop.notification.adapters.sightings import MemorySightings
from maasloop.notification.adapters.smtp import SmtpChannel
from maasloop.notification.adapters.vault import Vault
from maasloop.notification.adapters.webhook import WebhookChannel
from maasloop.notification.domain.street_clock import StreetClocks
from maasloop.notification.domain.watchlist import Watchlist
from maasloop.notification.entrypoints.messages import alert_event
from maasloop.notification.entrypoints.places import RulePlaces
from maasloop.notification.entrypoints.rpc import NotificationDoor
from maasloop.notification.entrypoints.stream import CatalogueEar, CommandDoor, ReadingDoor, SilenceTimer
from maasloop.notification.handlers.acknowledge_alert import AcknowledgeAlert
from maasloop.notification.handlers.create_rule import CreateRule
from maasloop.notification.handlers.create_subscription import CreateSubscription
from maasloop.notification.handlers.delete_rule import DeleteRule
from maasloop.notification.handlers.delete_subscription import DeleteSubscription
from maasloop.notification.handlers.deliver_messages import IN_FLIGHT_PER_SUBSCRIPTION_MAX, DeliverMessages
from maasloop.notification.handlers.grant_rule import GrantRule
from maasloop.notification.handlers.judge_command import JudgeCommand
from maasloop.notification.handlers.judge_readings import JudgeReadings
from maasloop.notification.handlers.judge_silence import JudgeSilence
from maasloop.notification.handlers.raise_alerts import RaiseAlerts
from maasloop.notification.handlers.refresh_watchlist import RefreshWatchlist
from maasloop.notification.handlers.resolve_alert import ResolveAlert
from maasloop.notification.settings import NotificationSettings
from maasloop.postgres.pool import Pool, check, open_pool
from maasloop.rpc.auditing import CallAudit
from maasloop.rpc.server import RpcServer
from maasloop.runtime import broker
from maasloop.runtime.access import Access
from maasloop.runtime.audit_log import open_audit_log
from maasloop.runtime.confirming import OwnerVoice
from maasloop.runtime.outbox import OutboxRelay
from maasloop.runtime.process import Service
from maasloop.runtime.serving import access_of, neighbour, rpc_server

NAME = "notification"
PACKAGE = "maasloop.notification"
REFRESH_INTERVAL_S = 2.0
"""How long other instances' rules and alerts may stay unknown here."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What the doors and tasks share."""

    settings: NotificationSettings
    clock: Clock
    pool: Pool
    bus: Bus
    registry: RegistryClient
    clocks: StreetClocks
    delivering: DeliverMessages
    deliveries: PostgresDeliveries
    subscriptions: PostgresSubscriptions
    watchlist: Watchlist
    conditions: CelConditions
    alerts: PostgresAlerts
    rules: PostgresRules
    sightings: MemorySightings
    sighting_store: SightingStore
    refresh: RefreshWatchlist


@asynccontextmanager
async def assemble(settings: NotificationSettings) -> AsyncIterator[Service]:
    """Make the parts, in the order in which they need each other."""
    clock = SystemClock()
    dsn = settings.postgres_dsn.get_secret_value()
    async with (
        open_pool(dsn, name=NAME, size_max=settings.postgres_connections_max) as pool,
        broker.connected(settings, NAME) as bus,
        neighbour(settings, "device-registry") as registry_channel,
        _webhooks(settings, clock) as webhooks,
    ):
        parts = _parts(settings, clock, pool, bus, registry_channel, webhooks)
        await parts.sighting_store.load()
        if settings.webhook_key_file:
            await parts.subscriptions.seal_plain()
        await parts.refresh()
        await CatalogueEar(bus, parts.registry.refresh).listen()
        yield _service(
            parts, OutboxRelay(dsn, OwnerVoice(bus, f"maasloop/{NAME}", clock).publish, name="notification-outbox")
        )


@asynccontextmanager
async def _webhooks(settings: NotificationSettings, clock: Clock) -> AsyncIterator[WebhookChannel]:
    channel = WebhookChannel(clock, Outbound(settings.webhook_networks, settings.webhook_ports))
    try:
        yield channel
    finally:
        await channel.close()


def _parts(
    settings: NotificationSettings,
    clock: Clock,
    pool: Pool,
    bus: Bus,
    registry_channel: grpc.aio.Channel,
    webhooks: WebhookChannel,
) -> _Parts:
    clocks, watchlist, sightings = StreetClocks(), Watchlist(), MemorySightings()
    vault = Vault.load(settings.webhook_key_file) if settings.webhook_key_file else Vault()
    deliveries = PostgresDeliveries(pool, clock, vault, per_subscription_max=IN_FLIGHT_PER_SUBSCRIPTION_MAX)
    mail = SmtpChannel(settings.smtp_host, settings.smtp_port, settings.smtp_sender)
    delivering = DeliverMessages(
        deliveries,
        {"webhook": webhooks, "email": mail},
        clock,
        pauses_s=settings.retry_pauses_s,
        lease_s=settings.delivery_lease_s,
    )
    rules = PostgresRules(pool, clock)
    return _Parts(
        settings=settings,
        clock=clock,
        pool=pool,
        bus=bus,
        registry=RegistryClient(registry_channel, clocks),
        clocks=clocks,
        delivering=delivering,
        deliveries=deliveries,
        subscriptions=PostgresSubscriptions(pool, clock, vault),
        watchlist=watchlist,
        conditions=CelConditions(),
        alerts=PostgresAlerts(pool, clock, alert_event, delivering.wake),
        rules=rules,
        sightings=sightings,
        sighting_store=SightingStore(pool, sightings, clock),
        refresh=RefreshWatchlist(rules, watchlist),
    )


def _service(parts: _Parts, relay: OutboxRelay) -> Service:
    raise_alerts = RaiseAlerts(
        parts.alerts, parts.watchlist, parts.clock, per_rule_minute_max=parts.settings.alerts_per_rule_minute_max
    )
    judge = JudgeReadings(parts.watchlist, parts.conditions, parts.sightings, parts.clocks, parts.clock)
    readings = ReadingDoor(parts.bus, judge, raise_alerts, parts.clock)
    commands = CommandDoor(parts.bus, JudgeCommand(parts.watchlist, parts.conditions), raise_alerts)
    silence = JudgeSilence(parts.watchlist, parts.sightings, parts.registry, parts.clocks, parts.clock)
    audit = open_audit_log(parts.settings, parts.pool, parts.bus, parts.clock)
    access = access_of(parts.settings, parts.bus, parts.clock, RulePlaces(parts.rules))
    return Service(
        doors=[_server(parts, access, audit.calls)],
        pulling={"readings": readings.run, "commands": commands.run, "deliveries": parts.delivering.run},
        tasks={
            **access.tasks,
            "outbox": relay.run,
            "registry": parts.registry.follow,
            "silence": SilenceTimer(readings, silence, raise_alerts, parts.clock).run,
            "sightings": parts.sighting_store.run,
            "watchlist": lambda: _refreshing(parts.refresh, parts.clock),
            "prune": parts.deliveries.prune,
            **audit.tasks,
        },
        checks={"database": lambda: check(parts.pool), "outbox": relay.check, "registry": parts.registry.check},
        notes=audit.notes,
    )


def _server(parts: _Parts, access: Access, audit: CallAudit | None) -> RpcServer:
    subscriptions = parts.subscriptions
    door = NotificationDoor(
        create_rule=CreateRule(
            parts.rules,
            parts.conditions,
            parts.clock,
            mass_subscriptions_min=parts.settings.mass_subscriptions_min,
        ),
        grant_rule=GrantRule(parts.rules, parts.clock),
        delete_rule=DeleteRule(parts.alerts, parts.clock),
        acknowledge_alert=AcknowledgeAlert(parts.alerts, parts.clock),
        resolve_alert=ResolveAlert(parts.alerts, parts.watchlist, parts.clock),
        create_subscription=CreateSubscription(subscriptions, secrets.token_bytes),
        delete_subscription=DeleteSubscription(subscriptions),
        rules=parts.rules,
        alerts=parts.alerts,
        subscriptions=subscriptions,
        deliveries=parts.deliveries,
        rules_changed=parts.refresh,
        step_up=access.step_up,
    )
    services = [notification_service_pb2.DESCRIPTOR.services_by_name["NotificationService"].full_name]
    server = rpc_server(parts.settings, services, parts.clock, access=access, audit=audit)
    door.register(server)
    return server


async def _refreshing(refresh: RefreshWatchlist, clock: Clock) -> None:
    """Copy, for ever, what other instances changed."""
    while True:
        await clock.sleep(REFRESH_INTERVAL_S)
        try:
            await refresh()
        except Retryable as error:
            _log.warning("watchlist_not_refreshed", reason=error.message)
