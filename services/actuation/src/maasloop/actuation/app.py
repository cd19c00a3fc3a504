"""The composition root: what actuation is made of, and who is given what."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from maasloop.actuation.adapters.conditions import CelConditions
from maasloop.actuation.adapters.decisions import DecisionVoice
from maasloop.actuation.adapters.downlink import NativeDownlink
from maasloop.actuation.adapters.postgres_approvals import PostgresApprovals
from maasloop.actuation.adapters.postgres_generation import next_generation
from maasloop.actuation.adapters.postgres_ledger import PostgresLedger
from maasloop.actuation.adapters.postgres_policies import PostgresPolicies
from maasloop.actuation.adapters.postgres_records import PostgresRecords
from maasloop.actuation.adapters.predictions import PredictionVoice
from maasloop.actuation.adapters.registry import Registry
from maasloop.actuation.adapters.reports import Reporter
from maasloop.actuation.adapters.routing import RoutedDownlink
from maasloop.actuation.adapters.rsmp.driver import RsmpDriver
from maasloop.actuation.adapters.timeseries import Remembered
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import State
from maasloop.actuation.domain.evaluation import Evaluation
from maasloop.actuation.domain.facts import Device
from maasloop.actuation.domain.journal import Entry, JournalEntry
from maasloop.actuation.entrypoints.command_feed import CommandFeed
from maasloop.actuation.entrypoints.messages import MessageCodec
from maasloop.actuation.entrypoints.places import ResourcePlaces
from maasloop.actuation.entrypoints.readings import Selector
from maasloop.actuation.entrypoints.responses import ResponseStream
from maasloop.actuation.entrypoints.rpc import CommandDoor
from maasloop.actuation.entrypoints.rpc_policies import PolicyDoor
from maasloop.actuation.entrypoints.settling import Settling
from maasloop.actuation.entrypoints.steps import Steps, Told
from maasloop.actuation.entrypoints.stream import StreetStream
from maasloop.actuation.entrypoints.timekeeping import Timekeeping
from maasloop.actuation.handlers.cancel_command import CancelCommand
from maasloop.actuation.handlers.change_policy import ChangePolicy
from maasloop.actuation.handlers.decide_second import DecideSecond
from maasloop.actuation.handlers.dispatch_commands import DispatchCommands
from maasloop.actuation.handlers.end_override import EndOverride
from maasloop.actuation.handlers.evaluate_policies import EvaluatePolicies
from maasloop.actuation.handlers.expire_commands import ExpireCommands
from maasloop.actuation.handlers.grant_approval import GrantApproval
from maasloop.actuation.handlers.issue_command import IssueCommand
from maasloop.actuation.handlers.pass_time import PassTime
from maasloop.actuation.handlers.record_answer import RecordAnswer
from maasloop.actuation.handlers.release_district import ReleaseDistrict
from maasloop.actuation.handlers.request_approval import RequestApproval
from maasloop.actuation.handlers.restore_state import restore, unsent
from maasloop.actuation.handlers.set_override import SetOverride
from maasloop.actuation.handlers.verify_commands import VerifyCommands
from maasloop.actuation.settings import ActuationSettings
from maasloop.api.command.v1 import command_service_pb2, policy_service_pb2
from maasloop.bus.connection import Bus
from maasloop.core.clock import Clock, SystemClock
from maasloop.core.errors import Retryable
from maasloop.core.reasons import Reason
from maasloop.identity.command_keys import SigningKey
from maasloop.identity.commands import CommandSealer, counters_of
from maasloop.postgres.pool import Pool, check, open_pool
from maasloop.rsmp.tls import supervisor_context
from maasloop.runtime import broker
from maasloop.runtime.audit_log import open_audit_log
from maasloop.runtime.confirming import OwnerVoice
from maasloop.runtime.outbox import OutboxRelay
from maasloop.runtime.process import Service
from maasloop.runtime.serving import access_of, neighbour, rpc_server

NAME = "actuation"
PACKAGE = "maasloop.actuation"
LEASES_AGE_MAX_US = 1_200_000_000
"""Commands older than this have expired on any clock that runs at least at wall speed."""
STANDING_AGE_MAX_US = 2 * 86_400_000_000
"""What a person asks a controller for has ended by then on any clock that runs at least at half of wall speed."""
OVERRIDES_AGE_MAX_US = 31 * 86_400_000_000
"""A field clock may lie this far behind the wall: the door takes no older events."""
FORGET_EVERY_S = 3_600.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the doors share."""

    clock: Clock
    bus: Bus
    city: City
    ledger: PostgresLedger
    records: PostgresRecords
    policies: PostgresPolicies
    conditions: CelConditions
    evaluation: Evaluation
    reporter: Reporter


@asynccontextmanager
async def assemble(settings: ActuationSettings) -> AsyncIterator[Service]:
    """Make the parts, in the order in which they need each other; the lease comes before the state it protects."""
    clock, codec = SystemClock(), MessageCodec()
    dsn = settings.postgres_dsn.get_secret_value()
    async with (
        open_pool(dsn, name=NAME, size_max=settings.postgres_connections_max, clock=clock) as pool,
        broker.connected(settings, NAME) as bus,
        neighbour(settings, "device-registry") as channel,
        neighbour(settings, "timeseries") as memory,
        _ledger(dsn, codec, clock, audited=settings.audit_keys_directory is not None) as ledger,
        _downlink(settings, bus) as down,
    ):
        city, conditions = City(), CelConditions()
        evaluation = Evaluation(city, conditions)
        records, policies = PostgresRecords(pool), PostgresPolicies(pool)
        reporter = Reporter(bus, clock)
        parts = _Parts(clock, bus, city, ledger, records, policies, conditions, evaluation, reporter)
        settling = Settling(city, ledger, RecordAnswer(), clock)
        rsmp = RsmpDriver(reporter, clock, settling.settle, settling.street_us)
        native = NativeDownlink(down, await _sealer(settings, pool, clock))
        steps = _steps(parts, RoutedDownlink(native, rsmp))
        await _restore(parts, steps)
        now_us = clock.now_us()
        rsmp.resume(await records.standing(now_us - LEASES_AGE_MAX_US, now_us - STANDING_AGE_MAX_US))
        refused = partial(_refused, parts)
        registry = Registry(bus, channel, city, clock, refused, rsmp.know)
        voice = OwnerVoice(bus, f"maasloop/{NAME}", clock)
        relay = OutboxRelay(dsn, voice.publish, name=f"{NAME}-outbox", clock=clock)
        remembered = Remembered(memory, city, conditions, clock)
        service = _service(settings, parts, pool, registry, remembered, steps)
        yield Service(
            doors=service.doors,
            pulling=service.pulling,
            tasks={
                **service.tasks,
                "outbox": relay.run,
                "registry": registry.run,
                "latest": remembered.run,
                "reports": reporter.run,
                "rsmp": lambda: rsmp.run(settings.rsmp_address, _rsmp_tls(settings)),
            },
            checks={**service.checks, "outbox": relay.check, "device-registry": registry.check},
            notes={**service.notes, "timeseries": remembered.missing},
        )


@asynccontextmanager
async def _downlink(settings: ActuationSettings, bus: Bus) -> AsyncIterator[Bus]:
    """The connection on which commands go to devices: one of its own where NATS has an account for it."""
    credentials_file = settings.downlink_credentials_file
    if credentials_file is None:
        yield bus
        return
    async with broker.connected(settings, f"{NAME}-downlink", credentials_file=credentials_file) as down:
        yield down


async def _sealer(settings: ActuationSettings, pool: Pool, clock: Clock) -> CommandSealer | None:
    if settings.command_key_file is None:
        return None
    key = SigningKey.load(settings.command_key_file)
    return CommandSealer(key, counters_of(await next_generation(pool, clock)))


def _steps(parts: _Parts, downlink: RoutedDownlink) -> Steps:
    return Steps(
        parts.city,
        parts.clock,
        parts.ledger,
        evaluate=EvaluatePolicies(parts.evaluation),
        decide=DecideSecond(parts.city, parts.evaluation),
        verify=VerifyCommands(),
        expire=ExpireCommands(),
        pass_time=PassTime(parts.city),
        dispatch=DispatchCommands(parts.city, downlink, parts.ledger),
        tell=_told(parts),
    )


def _told(parts: _Parts) -> Told:
    codec, source = MessageCodec(), f"maasloop/{NAME}"
    decisions = DecisionVoice(parts.bus, codec.decision_recorded, source, parts.clock)
    predictions = PredictionVoice(parts.bus, codec.signal_predicted, source, parts.clock)

    async def tell(batch: Batch) -> None:
        await decisions.tell(batch)
        await predictions.tell(batch.predictions)
        parts.reporter.offer(batch.reports)

    return tell


def _service(
    settings: ActuationSettings, parts: _Parts, pool: Pool, registry: Registry, remembered: Remembered, steps: Steps
) -> Service:
    feed, approvals = CommandFeed(parts.records), PostgresApprovals(pool)
    parts.ledger.listen(feed.hear)
    commands = CommandDoor(
        steps,
        parts.records,
        feed,
        issue=IssueCommand(parts.city, parts.ledger, parts.records),
        cancel=CancelCommand(parts.evaluation, parts.ledger, parts.records),
        set_override=SetOverride(parts.city, parts.ledger, parts.records),
        end_override=EndOverride(parts.city, parts.evaluation, parts.ledger, parts.records),
        release=ReleaseDistrict(parts.city, parts.ledger),
        request_approval=RequestApproval(approvals),
        grant_approval=GrantApproval(parts.city, parts.ledger, parts.records, approvals),
        approvals=approvals,
    )
    policies = PolicyDoor(
        parts.city, ChangePolicy(parts.city, parts.conditions, parts.policies), parts.records, parts.clock
    )
    audit = open_audit_log(settings, pool, parts.bus, parts.clock)
    access = access_of(settings, parts.bus, parts.clock, ResourcePlaces(parts.records, parts.city.policies))
    server = rpc_server(settings, _service_names(), parts.clock, access=access, audit=audit.calls)
    commands.register(server)
    policies.register(server)
    street = StreetStream(parts.bus, Selector(parts.city, parts.conditions), steps, parts.clock)
    responses = ResponseStream(parts.bus, RecordAnswer(), steps)
    timekeeping = Timekeeping(steps, parts.clock)
    return Service(
        doors=[server],
        pulling={
            "street": lambda stop: street.run(stop, registry.synchronised, remembered.tried),
            "responses": responses.run,
        },
        tasks={
            **access.tasks,
            "ledger": parts.ledger.run,
            "timekeeping": timekeeping.run,
            "forgetting": lambda: _forget(parts),
            **audit.tasks,
        },
        checks={"database": lambda: check(pool), "ledger": parts.ledger.check},
        notes=audit.notes,
    )


def _service_names() -> list[str]:
    return [
        command_service_pb2.DESCRIPTOR.services_by_name["CommandService"].full_name,
        policy_service_pb2.DESCRIPTOR.services_by_name["PolicyService"].full_name,
    ]


@asynccontextmanager
async def _ledger(dsn: str, codec: MessageCodec, clock: Clock, *, audited: bool) -> AsyncIterator[PostgresLedger]:
    ledger = PostgresLedger(dsn, codec, clock, audited=audited)
    await ledger.open()
    try:
        yield ledger
    finally:
        await ledger.close()


async def _restore(parts: _Parts, steps: Steps) -> None:
    now_us = parts.clock.now_us()
    commands = await parts.records.open_commands()
    restore(
        parts.city,
        policies=await parts.policies.all(),
        open_commands=commands,
        leases=await parts.records.leases(now_us - LEASES_AGE_MAX_US),
        overrides=await parts.records.live_overrides(now_us - OVERRIDES_AGE_MAX_US),
        released=await parts.records.released_districts(),
        monotonic_s=parts.clock.monotonic_s(),
    )
    parts.ledger.defer(unsent(parts.city, now_us))
    # Before any answer or proof is heard: one of a command that is not known as sent would count for nothing.
    left = [one for one in commands if one.state is State.ACCEPTED]
    await steps.send(left, perhaps_again=True)
    _log.info("state_restored", open_commands=len(commands), policies=len(parts.city.policies))


def _refused(parts: _Parts, district: str, device: Device) -> None:
    """Write down that a device is never commanded as it is described now."""
    entry = JournalEntry(
        parts.clock.now_us(),
        district,
        Entry.DATA_SHEET_REFUSED,
        device.id,
        NAME,
        str(Reason.DATA_SHEET_INVALID),
        device.config_refusal,
    )
    parts.ledger.defer(Batch(journal=[entry]))


def _rsmp_tls(settings: ActuationSettings) -> ssl.SSLContext | None:
    certificate, key, authority = settings.rsmp_certificate, settings.rsmp_key, settings.rsmp_site_authority
    if certificate is None or key is None or authority is None:
        return None
    return supervisor_context(certificate, key, authority)


async def _forget(parts: _Parts) -> None:
    """Delete what is too old, a bounded number at a time, for ever."""
    while True:
        try:
            while await parts.records.forget(parts.clock.now_us()):
                await parts.clock.sleep(1.0)
        except Retryable as error:
            _log.warning("forgetting_put_off", reason=error.message)
        await parts.clock.sleep(FORGET_EVERY_S)
