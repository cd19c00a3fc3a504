"""Whether personal readings of a person may be processed, from what the projection of consent holds.

A basis of consent needs a record in force; a public task is open until the person objects, vital interests always. In
doubt the answer is no: an unknown activity, or a projection that is not confirmed, closes the gate.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Basis(StrEnum):
    """The ground of an activity."""

    CONSENT = "consent"
    PUBLIC_TASK = "public-task"
    VITAL_INTERESTS = "vital-interests"


class RecordState(StrEnum):
    """Where a consent record stands."""

    GIVEN = "given"
    ENDED = "ended"
    OBJECTED = "objected"
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class ActivityFacts:
    """A processing activity."""

    basis: Basis


@dataclass(frozen=True, slots=True)
class RecordFacts:
    """A consent record."""

    data_subject: str
    processing_activity: str
    state: RecordState
    expire_us: int
    """When it ends by itself, microseconds since the epoch; 0 = never."""
    update_us: int = field(default=0, compare=False)
    """When it last changed at its owner, microseconds since the epoch."""


type ConsentFacts = ActivityFacts | RecordFacts


class ConsentBook:
    """The facts in the order in which a gate asks for them; kept up to date by ``put``."""

    def __init__(self) -> None:
        """Start empty: everything is closed."""
        self._activities: dict[str, Basis] = {}
        self._records: dict[tuple[str, str], dict[str, RecordFacts]] = {}
        self._places: dict[str, tuple[str, str]] = {}

    def put(self, changes: Mapping[str, ConsentFacts | None]) -> None:
        """Take changes over, by resource name; ``None`` means gone."""
        for name, facts in changes.items():
            self._forget(name)
            if isinstance(facts, ActivityFacts):
                self._activities[name.removeprefix("processingActivities/")] = facts.basis
            elif isinstance(facts, RecordFacts):
                place = (facts.data_subject, facts.processing_activity)
                self._records.setdefault(place, {})[name] = facts
                self._places[name] = place

    def permits(self, data_subject: str, processing_activity: str, now_us: int) -> bool:
        """Tell whether readings of the person may be processed under the activity now."""
        basis = self._activities.get(processing_activity)
        records = self._records.get((data_subject, processing_activity), {}).values()
        if any(record.state is RecordState.ERASED for record in records):
            return basis is Basis.CONSENT and _in_force(records, now_us)
        if basis is Basis.CONSENT:
            return _in_force(records, now_us)
        if basis is Basis.PUBLIC_TASK:
            return all(record.state is not RecordState.OBJECTED for record in records)
        return basis is Basis.VITAL_INTERESTS

    def _forget(self, name: str) -> None:
        self._activities.pop(name.removeprefix("processingActivities/"), None)
        place = self._places.pop(name, None)
        if place is not None:
            records = self._records[place]
            records.pop(name, None)
            if not records:
                del self._records[place]


def _in_force(records: Iterable[RecordFacts], now_us: int) -> bool:
    return any(
        record.state is RecordState.GIVEN and (record.expire_us == 0 or record.expire_us > now_us) for record in records
    )
