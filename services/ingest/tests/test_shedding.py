"""What is least wanted is shed first, and counted where its sender had been told that it is kept."""

from dataclasses import dataclass, field

import pytest

from maasloop.bus.columns import Columns, build_columns
from maasloop.core.clock import FakeClock, from_us
from maasloop.core.domains import Domain
from maasloop.core.errors import ResourceExhausted
from maasloop.core.reasons import Reason
from maasloop.ingest.adapters.resolving import Registry
from maasloop.ingest.domain.facts import DeviceFacts, Facts, Kind, Priority, PropertyFacts, TypeFacts
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.ingest.handlers.record_observations import SHED_AFTER_US, RecordObservations
from maasloop.ingest.ports import Batch, Lane, Portion, Quarantined

NOW_US = 1_764_000_000_000_000
NORMAL, LOW = "power", "count"
KNOWN: dict[str, Facts] = {
    "observedProperties/power": PropertyFacts(Domain.ENERGY, Kind.NUMBER, "W", 0, 10, 2**60),
    "observedProperties/count": PropertyFacts(Domain.TRAFFIC, Kind.NUMBER, "1", 0, 10, 2**60, Priority.LOW),
    "deviceTypes/thing": TypeFacts(frozenset({"power", "count"})),
    "districts/noord/devices/station": DeviceFacts("thing", True, "", "", ""),
}


@dataclass
class Pressed:
    """A broker with room for some priorities, a gate and a counter."""

    admitted: int
    portions: list[Portion] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    shed_count: int = 0

    def ranks_admitted(self, _lane: Lane) -> int:
        """Tell how many priorities have room."""
        return self.admitted

    async def record(self, portion: Portion) -> None:
        """Keep a portion."""
        self.portions.append(portion)

    async def quarantine(self, quarantined: Quarantined) -> None:
        """Keep a refusal."""
        self.quarantined.append(quarantined)

    async def refuse_consent(self, _district: str, _door: Door, _count: int) -> None:
        """Keep nothing."""

    async def shed(self, _district: str, _door: Door, count: int) -> None:
        """Keep a count."""
        self.shed_count += count

    def permits(self, _data_subject: str, _activity: str) -> bool:
        """Permit all."""
        return True

    def recorded(self, _door: Door, _recorded: Recorded) -> None:
        """Count nothing."""


def _pipeline(*, admitted: int) -> tuple[RecordObservations, Pressed]:
    registry, pressed = Registry(lambda: KNOWN), Pressed(admitted)
    record = RecordObservations(
        resolve=registry,
        speaks_for=registry.speaks_for,
        personal=registry.personal,
        counts_payloads=registry.counts_payloads,
        gate=pressed,
        publisher=pressed,
        counts=pressed,
        clock=FakeClock(from_us(NOW_US)),
    )
    return record, pressed


def _columns(*properties: str) -> Columns:
    count = len(properties)
    return build_columns(["station"], properties, [0] * count, range(count), [NOW_US] * count, [1.0] * count)


async def test_what_is_least_wanted_is_refused_first() -> None:
    """With room for two priorities the readings of low priority are refused as SHED, are not kept, and others go on."""
    record, publisher = _pipeline(admitted=2)

    recorded = await record(Batch("noord", Door.GRPC, _columns(NORMAL, LOW), NOW_US))

    assert [(each.index, each.reason) for each in recorded.refusals] == [(1, Reason.SHED)]
    assert (recorded.accepted_count, publisher.quarantined, publisher.shed_count) == (1, [], 0)


async def test_a_batch_of_which_nothing_has_room_is_refused_as_a_whole() -> None:
    """Its sender hears when to come back, and nothing of it is published."""
    record, publisher = _pipeline(admitted=1)

    with pytest.raises(ResourceExhausted, match="no room") as refusal:
        await record(Batch("noord", Door.HTTP, _columns(NORMAL), NOW_US))

    assert (refusal.value.reason, publisher.portions) == (Reason.SHED, [])
    assert refusal.value.retry_after_s > 0


async def test_what_was_acknowledged_waits_before_it_is_shed_and_is_counted() -> None:
    """A young reading of the MQTT door comes again; an old one of low priority is shed with a count."""
    record, publisher = _pipeline(admitted=2)
    columns = _columns(NORMAL, LOW)

    with pytest.raises(ResourceExhausted):
        await record(Batch("noord", Door.MQTT, columns, NOW_US))
    assert publisher.portions == []
    recorded = await record(Batch("noord", Door.MQTT, columns, NOW_US - SHED_AFTER_US))

    assert [each.reason for each in recorded.refusals] == [Reason.SHED]
    assert (publisher.shed_count, sum(portion.count for portion in publisher.portions)) == (1, 1)


async def test_what_was_acknowledged_and_is_wanted_waits_as_long_as_it_takes() -> None:
    """However old, a reading of normal priority of the MQTT door is never shed: it comes again until it has room."""
    record, publisher = _pipeline(admitted=1)
    old = Batch("noord", Door.MQTT, _columns(NORMAL, LOW), NOW_US - 20 * SHED_AFTER_US)

    with pytest.raises(ResourceExhausted) as refusal:
        await record(old)
    assert (refusal.value.reason, publisher.shed_count, publisher.portions) == (Reason.SHED, 0, [])

    publisher.admitted = 2
    recorded = await record(old)
    assert (recorded.accepted_count, publisher.shed_count) == (1, 1)
