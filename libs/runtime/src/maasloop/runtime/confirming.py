"""What an owner says on the bus: its facts, from the outbox, and once a second how far it is.

``OwnerVoice.publish`` is what the outbox relay calls. ``confirm`` is a task: it tells the last committed revision, so that
a projection that holds it knows that it lacks nothing. It waits a moment for the facts of that revision to go first, and
tells it in any case: where facts cannot leave, projections notice that they are behind, and close or fetch a snapshot.
"""

from typing import Protocol

import structlog

from maasloop.api.device.v1.events_pb2 import RevisionConfirmed
from maasloop.bus.connection import Bus
from maasloop.bus.envelope import Envelope
from maasloop.core.clock import Clock
from maasloop.core.errors import Retryable

from .outbox import OutboxRow
from .owning import Standing

CONFIRM_INTERVAL_S = 1.0
FACTS_AWAITED_S = 0.5
"""Longest time that a confirmation waits for facts to go first."""
LOOK_S = 0.02

_log = structlog.get_logger()


class Stander(Protocol):
    """Who knows how far the owner is: ``Owner``."""

    async def standing(self) -> Standing:
        """Return the last committed revision, and whether facts still wait."""
        ...


class OwnerVoice:
    """Publishes an owner's facts and confirms their revisions."""

    def __init__(self, bus: Bus, source: str, clock: Clock) -> None:
        """Speak as ``source``, for example ``maasloop/consent``."""
        self._bus = bus
        self._source = source
        self._clock = clock
        self._published_revision = 0

    async def publish(self, row: OutboxRow) -> None:
        """Return when the broker has stored the fact."""
        envelope = Envelope(row.ce_id, row.ce_type, self._source, self._clock.now_us(), row.traceparent)
        await self._bus.publish(row.subject, row.body, envelope.headers())
        if row.revision is not None:
            self._published_revision = row.revision

    async def confirm(self, owner: Stander, subject: str) -> None:
        """Tell for ever how far the owner is; best effort, a silent owner is noticed by its projections."""
        while True:
            try:
                revision = await self._confirmable(owner)
                if self._bus.connected:
                    await self._bus.tell(subject, RevisionConfirmed(revision=revision).SerializeToString())
            except Retryable as error:
                _log.warning("confirmation_missed", reason=error.message)
            await self._clock.sleep(CONFIRM_INTERVAL_S)

    async def _confirmable(self, owner: Stander) -> int:
        standing = await owner.standing()
        revision = standing.revision
        deadline_s = self._clock.monotonic_s() + FACTS_AWAITED_S
        while standing.pending and self._published_revision < revision and self._clock.monotonic_s() < deadline_s:
            await self._clock.sleep(LOOK_S)
            standing = await owner.standing()
        return revision
