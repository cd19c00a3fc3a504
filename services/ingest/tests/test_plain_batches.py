"""A batch whose series are alike is judged by its extremes, and comes out as if each reading had been looked at."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maasloop.bus.columns import Columns, build_columns
from maasloop.core.clock import FakeClock, from_us
from maasloop.core.domains import Domain
from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.ingest.adapters.packing import columns_of
from maasloop.ingest.adapters.resolving import Registry
from maasloop.ingest.domain.facts import DeviceFacts, Facts, Kind, PropertyFacts, TypeFacts
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.ingest.entrypoints.rpc import REQUEST_MAX_BYTES, read_request
from maasloop.ingest.handlers.record_observations import BACKLOG_AGE_US, FUTURE_MAX_US, RecordObservations
from maasloop.ingest.ports import RANKS, Batch, Lane, Portion, Quarantined, Series

NOW_US = 1_764_000_000_000_000
HOUR_US = 3_600_000_000
KNOWN: dict[str, Facts] = {
    "observedProperties/power": PropertyFacts(Domain.ENERGY, Kind.NUMBER, "W", 0, 10, 2**60),
    "observedProperties/current": PropertyFacts(Domain.ENERGY, Kind.NUMBER, "A", -1, 5, 4 * HOUR_US),
    "deviceTypes/thing": TypeFacts(frozenset({"power", "current"})),
    "districts/noord/devices/a": DeviceFacts("thing", True, "b", "", ""),
    "districts/noord/devices/b": DeviceFacts("thing", True, "", "", ""),
    "districts/noord/devices/bike": DeviceFacts("thing", True, "", "anna", "air"),
}


@dataclass
class Kept:
    """A publisher, a gate and a counter that keep what they are told."""

    portions: list[Portion] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    counted: list[Recorded] = field(default_factory=list)

    def ranks_admitted(self, _lane: Lane) -> int:
        """Tell that there is room."""
        return len(RANKS)

    async def record(self, portion: Portion) -> None:
        """Keep a portion."""
        self.portions.append(portion)

    async def quarantine(self, quarantined: Quarantined) -> None:
        """Keep a refusal."""
        self.quarantined.append(quarantined)

    async def refuse_consent(self, _district: str, _door: Door, _count: int) -> None:
        """Keep nothing."""

    async def shed(self, _district: str, _door: Door, _count: int) -> None:
        """Keep nothing."""

    def permits(self, _data_subject: str, _activity: str) -> bool:
        """Permit all."""
        return True

    def recorded(self, _door: Door, recorded: Recorded) -> None:
        """Keep an answer."""
        self.counted.append(recorded)

    def told(self) -> list[object]:
        """Return what was published and counted, to be compared."""
        published = [
            (each.lane, each.key, each.count, columns_of(each).packed().SerializeToString()) for each in self.portions
        ]
        refused = [(each.reason, each.reading_count) for each in self.quarantined]
        return [published, refused, self.counted]


async def _recorded(batch: Batch, *, by_extremes: bool) -> tuple[Recorded, list[object], bool]:
    """Return the answer, what was told, and whether the series of the batch are alike."""
    registry, kept = Registry(lambda: KNOWN), Kept()

    def resolve(batch: Batch) -> Series:
        series = registry(batch)
        return series if by_extremes else replace(series, common=None)

    record = RecordObservations(
        resolve=resolve,
        speaks_for=registry.speaks_for,
        personal=registry.personal,
        counts_payloads=registry.counts_payloads,
        gate=kept,
        publisher=kept,
        counts=kept,
        clock=FakeClock(from_us(NOW_US)),
    )
    return await record(batch), kept.told(), registry(batch).common is not None


def _columns(devices: list[str], properties: list[str], rows: list[tuple[int, int, int, float]]) -> Columns:
    """Return every pair once, in range and now, and then the rows."""
    pairs = [(each, other) for each in range(len(devices)) for other in range(len(properties))]
    all_rows = [*((*pair, NOW_US, 1.0) for pair in pairs), *rows]
    device, observed_property, time_us, value = (list(column) for column in zip(*all_rows, strict=True))
    return build_columns(devices, properties, device, observed_property, time_us, np.array(value, np.float64))


_edges = [0, -4 * HOUR_US, -BACKLOG_AGE_US, FUTURE_MAX_US]
_row = st.tuples(
    st.integers(0, 1),
    st.integers(0, 1),
    st.sampled_from([NOW_US + edge + step for edge in _edges for step in (-1, 0, 1)]),
    st.sampled_from([0.0, 5.0, 10.0, -0.1, -1.0, 5.1, 10.1, float("nan"), float("inf"), float("-inf")]),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(_row, max_size=3),
    st.sampled_from([["power"], ["current"], ["power", "current"]]),
    st.sampled_from([Door.GRPC, Door.IMPORT]),
    st.sampled_from(["", "b"]),
)
async def test_extremes_decide_as_a_look_at_each_reading_does(
    rows: list[tuple[int, int, int, float]], properties: list[str], door: Door, sender: str
) -> None:
    """Whatever lies at the edges of range and time, both ways answer, publish and count the same."""
    inside = [(device, observed % len(properties), time_us, value) for device, observed, time_us, value in rows]
    batch = Batch("noord", door, _columns(["a", "b"], properties, inside), NOW_US, sender)

    short, long = await _recorded(batch, by_extremes=True), await _recorded(batch, by_extremes=False)

    assert short == long
    assert short[2]


async def test_series_that_are_not_alike_are_looked_at_one_by_one() -> None:
    """A person's device or one that nobody knows among others leaves nothing to be decided by extremes."""
    for stranger in ("bike", "nobody"):
        batch = Batch("noord", Door.GRPC, _columns(["a", stranger], ["power"], []), NOW_US)

        assert not (await _recorded(batch, by_extremes=True))[2]


def test_a_request_that_is_too_large_is_refused_unread() -> None:
    """Its size is known before anything of it is looked at."""
    with pytest.raises(InvalidArgument) as refused:
        read_request(bytes(REQUEST_MAX_BYTES + 1))

    assert refused.value.reason == Reason.PAYLOAD_TOO_LARGE
