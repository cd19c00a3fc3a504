"""Consuming one message at a time with a limit on what may be given up.

A handler returns and the message is acknowledged; it raises something retryable and the message comes again, later; it
raises anything else and the message becomes a dead letter with its reason. When too many become dead letters in a row
the consumer stops and the service goes not ready, rather than bury the stream because of one bad deployment.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from maasloop.core.errors import MaasloopError, Retryable
from maasloop.telemetry.metrics import counter

from . import subjects
from .connection import Bus
from .pull import Delivery, Pull
from .refusals import REASON_HEADER
from .streams import BACKOFF_S, Durable

log = structlog.get_logger(__name__)

DEAD_LETTERS_IN_A_ROW_MAX = 100
HEADERS_KEPT_MAX = 32

type Handle = Callable[[Delivery], Awaitable[None]]

CONSUMED = counter(
    "maasloop_bus_consumed_messages_total",
    "Messages of a durable by outcome: acked, retried or dead_lettered.",
    ("durable", "outcome"),
)


class TooManyDeadLetters(Exception):
    """A consumer gave up so many messages in a row that the fault must be its own."""


async def consume(
    bus: Bus,
    durable: Durable,
    handle: Handle,
    *,
    outstanding_max: int = 256,
    stop: asyncio.Event,
) -> None:
    """Handle the messages of a durable one after the other until ``stop`` is set.

    The message in hand is finished first. Raises ``TooManyDeadLetters``.
    """
    dead_in_a_row = 0
    async with Pull(bus, durable, outstanding_max=outstanding_max) as pull:
        while not stop.is_set():
            for delivery in await pull.take(outstanding_max, wait_s=0.5):
                dead = await settle(bus, durable, delivery, handle)
                dead_in_a_row = dead_in_a_row + 1 if dead else 0
                if dead_in_a_row >= DEAD_LETTERS_IN_A_ROW_MAX:
                    message = f"{durable.name} gave up {dead_in_a_row} messages in a row"
                    raise TooManyDeadLetters(message)
                if stop.is_set():
                    return


async def settle(
    bus: Bus,
    durable: Durable,
    delivery: Delivery,
    handle: Handle,
    *,
    buried: Handle | None = None,
) -> bool:
    """Handle one message and tell the broker; return whether it became a dead letter, for which see ``bury``."""
    try:
        await handle(delivery)
    except Retryable as error:
        await _retry(durable, delivery, error)
        return False
    except Exception as error:
        try:
            await bury(bus, durable, delivery, error, buried=buried)
        except Retryable as full:
            # There is no room for the dead letter or its count: one message must not stop those behind it.
            await _retry(durable, delivery, full)
            return False
        return True
    await delivery.ack()
    CONSUMED.labels(durable.name, "acked").inc()
    return False


async def _retry(durable: Durable, delivery: Delivery, error: Retryable) -> None:
    pause_s = max(error.retry_after_s, BACKOFF_S[min(delivery.attempt, len(BACKOFF_S)) - 1])
    log.info("message_retried", durable=durable.name, reason=error.reason, attempt=delivery.attempt)
    await delivery.nak(pause_s)
    CONSUMED.labels(durable.name, "retried").inc()


async def bury(
    bus: Bus, durable: Durable, delivery: Delivery, error: Exception, *, buried: Handle | None = None
) -> None:
    """Store a dead letter with its reason, then end the deliveries of the message.

    ``buried`` is called in between and may come again for the same message: it makes durable what else is to be known.
    """
    reason = error.reason if isinstance(error, MaasloopError) else "INTERNAL"
    log.error(
        "message_dead_lettered",
        durable=durable.name,
        reason=reason,
        sequence=delivery.stream_sequence,
        exc_info=error,
    )
    kept = [pair for pair in delivery.headers.items() if pair[0] != "Nats-Msg-Id"][:HEADERS_KEPT_MAX]
    headers = {
        **dict(kept),
        "Nats-Msg-Id": f"{durable.stream}-{durable.name}-{delivery.id}",
        "maasloop-subject": delivery.subject,
        "maasloop-sequence": str(delivery.stream_sequence),
        REASON_HEADER: reason,
        "maasloop-attempt": str(delivery.attempt),
    }
    await bus.publish(subjects.dead_letter(durable.service, durable.name), delivery.body, headers)
    if buried is not None:
        await buried(delivery)
    await delivery.term()
    CONSUMED.labels(durable.name, "dead_lettered").inc()
