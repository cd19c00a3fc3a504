"""Tells decisions at once: the twin waits for them. The outbox tells them again under the same id, which the broker drops."""

from collections.abc import Callable

import structlog

from maasloop.actuation.domain.batch import Batch, Decision
from maasloop.bus import subjects
from maasloop.bus.connection import Bus
from maasloop.bus.envelope import Envelope
from maasloop.core.clock import Clock
from maasloop.core.errors import MaasloopError

_log = structlog.get_logger()


def message_id(decision: Decision) -> str:
    """Return the id under which a decision is told, however often."""
    return f"{decision.district}-{decision.key}-{decision.street_second}"


class DecisionVoice:
    """Publishes decisions that are durable."""

    def __init__(self, bus: Bus, encode: Callable[[Decision], bytes], source: str, clock: Clock) -> None:
        """Speak as ``source``."""
        self._encode = encode
        self._bus = bus
        self._source = source
        self._clock = clock

    async def tell(self, batch: Batch) -> None:
        """Publish the decisions of a batch; a failure is left to the outbox."""
        for decision in batch.decisions:
            fact = subjects.DECISION_RECORDED
            envelope = Envelope(message_id(decision), fact.message, self._source, self._clock.now_us())
            subject = fact.subject(decision.district, decision.key)
            try:
                await self._bus.publish(subject, self._encode(decision), envelope.headers())
            except MaasloopError as error:
                _log.warning("decision_left_to_outbox", district=decision.district, reason=error.reason)
