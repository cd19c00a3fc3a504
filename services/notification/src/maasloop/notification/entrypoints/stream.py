"""The doors of the streams: readings and command outcomes, judged and acknowledged one message after the other.

A message is acknowledged when everything it changed is committed. One that comes again changes nothing, because its
event times are not newer than what was heard.
"""

import asyncio
from collections.abc import Callable
from functools import lru_cache

import structlog

from maasloop.api.command.v1.command_pb2 import Command
from maasloop.api.command.v1.events_pb2 import CommandChanged
from maasloop.api.observation.v1.events_pb2 import ObservationsRecorded
from maasloop.api.observation.v1.observation_pb2 import SeriesDictionary
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus import subjects
from maasloop.bus.columns import Columns, parse_packed, read_columns
from maasloop.bus.connection import Bus
from maasloop.bus.consume import consume
from maasloop.bus.pull import Delivery
from maasloop.bus.streams import ALERT_COMMANDS, ALERT_READINGS
from maasloop.core.clock import Clock
from maasloop.core.domains import PERSONAL
from maasloop.core.errors import InvalidArgument, Retryable
from maasloop.core.ids import CommandName
from maasloop.core.reasons import Reason
from maasloop.notification.handlers.judge_command import JudgeCommand
from maasloop.notification.handlers.judge_readings import JudgeReadings
from maasloop.notification.handlers.judge_silence import JudgeSilence
from maasloop.notification.handlers.raise_alerts import RaiseAlerts
from maasloop.notification.ports import CommandOutcome, Names, ReadingBatch, StateReading
from maasloop.rpc.times import us_from_timestamp
from maasloop.telemetry import tracing

SILENCE_INTERVAL_S = 1.0
NAMES_CACHED_MAX = 32
_NS_PER_US = 1_000

_log = structlog.get_logger()


class ReadingDoor:
    """Hears OBSERVATIONS; personal readings travel on a stream of their own and never come here."""

    def __init__(self, bus: Bus, judge: JudgeReadings, raise_alerts: RaiseAlerts, clock: Clock) -> None:
        self._bus = bus
        self._judge = judge
        self._raise_alerts = raise_alerts
        self._clock = clock
        self._stored_us: int | None = None
        self._behind = True

    async def run(self, stop: asyncio.Event) -> None:
        """Hear until ``stop`` is set."""
        await consume(self._bus, ALERT_READINGS, self.handle, stop=stop)

    async def handle(self, delivery: Delivery) -> None:
        """Judge one message."""
        batches = decode_readings(delivery)
        if batches:
            with tracing.span("judge_readings", parent=delivery.headers.get(tracing.TRACEPARENT)):
                await self._raise_alerts([signal for batch in batches for signal in self._judge(batch)])
        self._stored_us = delivery.stored_ns // _NS_PER_US
        self._behind = delivery.pending > 0

    async def heard_us(self) -> int | None:
        """Return the wall time up to which messages were heard; nothing while that is not known."""
        if self._stored_us is None and not await self._idle():
            return None
        return self._stored_us if self._behind and self._stored_us is not None else self._clock.now_us()

    async def _idle(self) -> bool:
        """Tell whether nothing waits for a door that heard nothing yet."""
        info = await self._bus.api(f"CONSUMER.INFO.{ALERT_READINGS.stream}.{ALERT_READINGS.name}")
        waiting = int(info.get("num_pending", 1)) + int(info.get("num_ack_pending", 1))
        return waiting == 0


class CommandDoor:
    """Hears settled commands."""

    def __init__(self, bus: Bus, judge: JudgeCommand, raise_alerts: RaiseAlerts) -> None:
        self._bus = bus
        self._judge = judge
        self._raise_alerts = raise_alerts

    async def run(self, stop: asyncio.Event) -> None:
        """Hear until ``stop`` is set."""
        await consume(self._bus, ALERT_COMMANDS, self.handle, stop=stop)

    async def handle(self, delivery: Delivery) -> None:
        """Judge one outcome."""
        with tracing.span("judge_command", parent=delivery.headers.get(tracing.TRACEPARENT)):
            await self._raise_alerts(self._judge(decode_outcome(delivery)))


class SilenceTimer:
    """Looks for silent devices once a second. Task: ``run``."""

    def __init__(self, readings: ReadingDoor, judge: JudgeSilence, raise_alerts: RaiseAlerts, clock: Clock) -> None:
        self._readings = readings
        self._judge = judge
        self._raise_alerts = raise_alerts
        self._clock = clock

    async def run(self) -> None:
        """Look for ever; what cannot be stored now is found again at the next look."""
        while True:
            try:
                heard_us = await self._readings.heard_us()
                if heard_us is not None:
                    await self._raise_alerts(await self._judge(heard_us))
            except Retryable as error:
                _log.warning("silence_not_judged", reason=error.message)
            await self._clock.sleep(SILENCE_INTERVAL_S)


class CatalogueEar:
    """Hears that districts may have changed."""

    def __init__(self, bus: Bus, changed: Callable[[], None]) -> None:
        self._bus = bus
        self._changed = changed

    async def listen(self) -> None:
        """Hear from now on; best effort, the registry is asked now and then anyway."""

        async def heard(_message: object) -> None:
            self._changed()

        await self._bus.listen(subjects.DEVICE_UPDATED.wildcard(subjects.ALL_DISTRICTS), heard)


def decode_readings(delivery: Delivery) -> list[ReadingBatch]:
    """Return the readings of a message as columns over its own bytes, by batch; nothing for personal ones."""
    message = parse_packed(PackedObservationsRecorded, ObservationsRecorded, delivery.body)
    if message.domain == PERSONAL:
        return []
    columns = read_columns(message.observations, message.row_groups)
    return [_batch(message.district, batch) for batch in columns.batches()]


def _batch(district: str, columns: Columns) -> ReadingBatch:
    states = [
        StateReading(state.device_index, state.property_index, state.event_time_us, state.state)
        for state in columns.states
    ]
    return ReadingBatch(
        district=district,
        names=_names(columns.dictionary),
        device_index=columns.device_index,
        property_index=columns.property_index,
        event_us=columns.event_time_us,
        value=columns.value,
        states=states,
    )


@lru_cache(maxsize=NAMES_CACHED_MAX)
def _names(dictionary: bytes) -> Names:
    names = SeriesDictionary.FromString(dictionary)
    return Names(tuple(names.devices), tuple(names.observed_properties))


def decode_outcome(delivery: Delivery) -> CommandOutcome:
    """Return the outcome of a command, or refuse what is none (PAYLOAD_UNDECODABLE)."""
    try:
        command = CommandChanged.FromString(delivery.body).command
    except Exception as error:
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "not a serialized CommandChanged") from error
    return CommandOutcome(
        district=CommandName.parse(command.name).district,
        device=command.device,
        state=Command.State.Name(command.state).removeprefix("STATE_"),
        reason=command.reason,
        issuer=command.issuer,
        settle_us=us_from_timestamp(command.settle_time, "settle_time"),
    )
