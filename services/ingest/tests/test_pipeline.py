"""The pipeline against a judge that looks at one reading after the other."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import cast
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maasloop.api.common.v1.geo_pb2 import Point
from maasloop.api.observation.v1.observation_pb2 import DeviceSequence, PositionObservation, StateObservation
from maasloop.bus.columns import Columns, build_columns
from maasloop.core.clock import FakeClock, from_us
from maasloop.core.domains import PERSONAL, Domain
from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.ingest.adapters.packing import columns_of, join
from maasloop.ingest.adapters.resolving import Registry
from maasloop.ingest.domain.facts import VALUE_MAX, DeviceFacts, Facts, Kind, Priority, PropertyFacts, TypeFacts
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.ingest.handlers.record_observations import BACKLOG_AGE_US, RecordObservations
from maasloop.ingest.handlers.refuse_payload import RefusePayload
from maasloop.ingest.ports import RANKS, Batch, Lane, Portion, Quarantined

NOW_US = 1_764_000_000_000_000
DAY_US = 86_400 * 1_000_000
DEVICES = ["lamp", "cabinet", "station", "bike", "wearable", "sleeper", "stranger"]
PROPERTIES = ["power", "presence", "mode", "place", "count", "unheard"]


def _property(
    domain: Domain, kind: Kind, low: float, high: float, days: int, priority: Priority = Priority.NORMAL
) -> PropertyFacts:
    return PropertyFacts(domain, kind, "1", low, high, days * DAY_US, priority)


KNOWN: dict[str, Facts] = {
    "observedProperties/power": _property(Domain.ENERGY, Kind.NUMBER, 0, 2_000, 730),
    "observedProperties/presence": _property(Domain.MOBILITY, Kind.BOOLEAN, 0, 1, 90),
    "observedProperties/mode": _property(Domain.LIGHT, Kind.STATE, -VALUE_MAX, VALUE_MAX, 90),
    "observedProperties/place": _property(Domain.MOBILITY, Kind.POSITION, -VALUE_MAX, VALUE_MAX, 7),
    "observedProperties/count": _property(Domain.TRAFFIC, Kind.NUMBER, -VALUE_MAX, VALUE_MAX, 7, Priority.LOW),
    "observedProperties/unheard": _property(Domain.AIR, Kind.NUMBER, 0, 1, 7),
    "deviceTypes/thing": TypeFacts(frozenset(PROPERTIES) - {"unheard"}),
    "districts/noord/devices/lamp": DeviceFacts("thing", True, "cabinet", "", ""),
    "districts/noord/devices/cabinet": DeviceFacts("thing", True, "", "", ""),
    "districts/noord/devices/station": DeviceFacts("thing", True, "", "", ""),
    "districts/noord/devices/bike": DeviceFacts("thing", True, "", "anna", "air"),
    "districts/noord/devices/wearable": DeviceFacts("thing", True, "", "bert", "health"),
    "districts/noord/devices/sleeper": DeviceFacts("thing", False, "", "", ""),
}
PERSONS = {"bike": "anna", "wearable": "bert"}


@dataclass
class RecordingPublisher:
    """Keeps what would have been published."""

    portions: list[Portion] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    without_consent: int = 0
    shed_count: int = 0
    admitted: int = len(RANKS)

    def ranks_admitted(self, _lane: Lane) -> int:
        """Tell how many priorities have room."""
        return self.admitted

    async def record(self, portion: Portion) -> None:
        """Keep a portion."""
        self.portions.append(portion)

    async def refuse_consent(self, _district: str, _door: Door, count: int) -> None:
        """Keep a count."""
        self.without_consent += count

    async def shed(self, _district: str, _door: Door, count: int) -> None:
        """Keep a count."""
        self.shed_count += count

    async def quarantine(self, quarantined: Quarantined) -> None:
        """Keep a refusal."""
        self.quarantined.append(quarantined)


class Consenting:
    """A gate that lets some persons through."""

    def __init__(self, *persons: str) -> None:
        """Let these through."""
        self._persons = persons

    def permits(self, data_subject: str, _activity: str) -> bool:
        """Tell whether a person consents."""
        return data_subject in self._persons


class Uncounted:
    """Counts nothing."""

    def recorded(self, _door: Door, _recorded: Recorded) -> None:
        """Count nothing."""


def _pipeline(*consenting: str) -> tuple[RecordObservations, RecordingPublisher]:
    registry, publisher = Registry(lambda: KNOWN), RecordingPublisher()
    record = RecordObservations(
        resolve=registry,
        speaks_for=registry.speaks_for,
        personal=registry.personal,
        counts_payloads=registry.counts_payloads,
        gate=Consenting(*consenting),
        publisher=publisher,
        counts=Uncounted(),
        clock=FakeClock(from_us(NOW_US)),
    )
    return record, publisher


type Row = tuple[int, int, int, float | str | tuple[float, float]]

_times = st.sampled_from(
    [
        0,
        -1,
        -BACKLOG_AGE_US,
        -BACKLOG_AGE_US - 1,
        -6 * DAY_US,
        -7 * DAY_US,
        -7 * DAY_US - 1,
        -30 * DAY_US,
        -30 * DAY_US - 1,
        300_000_000,
        300_000_001,
    ]
)
_numbers = st.sampled_from([0.0, 1.0, 0.5, -0.1, 2_000.0, 2_000.1, float("nan"), float("inf"), VALUE_MAX])
_words = st.sampled_from(["rG", "", "x" * 256, "x" * 257, "a\0b", "ü" * 129])
_places = st.tuples(st.sampled_from([6.9, 180.1, float("nan")]), st.sampled_from([50.9, -90.1]))
_device, _observed = st.integers(0, len(DEVICES) - 1), st.integers(0, len(PROPERTIES) - 1)


def _rows(results: st.SearchStrategy[float | str | tuple[float, float]]) -> st.SearchStrategy[list[Row]]:
    return st.lists(st.tuples(_device, _observed, _times.map(lambda shift: NOW_US + shift), results), max_size=12)


def _columns(numbers: list[Row], words: list[Row], places: list[Row]) -> Columns:
    def place(row: Row) -> dict[str, int]:
        return {"device_index": row[0], "property_index": row[1], "event_time_us": row[2]}

    return build_columns(
        DEVICES,
        PROPERTIES,
        [row[0] for row in numbers],
        [row[1] for row in numbers],
        [row[2] for row in numbers],
        [cast("float", row[3]) for row in numbers],
        states=[StateObservation(**place(row), state=cast("str", row[3])) for row in words],
        positions=[
            PositionObservation(**place(row), position=Point(longitude=at[0], latitude=at[1]))
            for row in places
            for at in [cast("tuple[float, float]", row[3])]
        ],
    )


def _judge(row: Row, sender: str, consenting: set[str]) -> Reason | None:
    """Return why one reading is refused, slowly and obviously."""
    device, observed, (_, _, time_us, result) = DEVICES[row[0]], PROPERTIES[row[1]], row
    facts = KNOWN.get(f"districts/noord/devices/{device}")
    personal = observed != "unheard" and PERSONS.get(device)
    if personal and personal not in consenting:
        return Reason.CONSENT_MISSING
    if not isinstance(facts, DeviceFacts):
        return Reason.DEVICE_UNKNOWN
    if not facts.active:
        return Reason.DEVICE_INACTIVE
    if observed == "unheard":
        return Reason.PROPERTY_UNKNOWN
    if sender and sender not in {device, facts.gateway}:
        return Reason.DEVICE_FOREIGN
    about = KNOWN[f"observedProperties/{observed}"]
    assert isinstance(about, PropertyFacts)
    return _judge_value(result, about) or _judge_time(time_us, about)


def _judge_value(result: float | str | tuple[float, float], about: PropertyFacts) -> Reason | None:
    if isinstance(result, str):
        if about.kind is not Kind.STATE:
            return Reason.VALUE_NOT_A_NUMBER
        return None if 0 < len(result.encode()) <= 256 and "\0" not in result else Reason.TEXT_INVALID
    if isinstance(result, tuple):
        if about.kind is not Kind.POSITION:
            return Reason.VALUE_NOT_A_NUMBER
        return None if abs(result[0]) <= 180 and abs(result[1]) <= 90 else Reason.VALUE_OUT_OF_RANGE
    boolean = about.kind is Kind.BOOLEAN
    if (
        about.kind not in {Kind.NUMBER, Kind.BOOLEAN}
        or not np.isfinite(result)
        or (boolean and result not in {0.0, 1.0})
    ):
        return Reason.VALUE_NOT_A_NUMBER
    return None if about.range_min <= result <= about.range_max else Reason.VALUE_OUT_OF_RANGE


def _judge_time(time_us: int, about: PropertyFacts) -> Reason | None:
    if time_us < NOW_US - min(about.retention_us, 30 * DAY_US):
        return Reason.TIME_TOO_OLD
    return Reason.TIME_IN_FUTURE if time_us > NOW_US + 300_000_000 else None


def _named(columns: Columns) -> Counter[tuple[str, str, int, object]]:
    names = columns.names()
    found: Counter[tuple[str, str, int, object]] = Counter()
    for row in zip(columns.device_index, columns.property_index, columns.event_time_us, columns.value, strict=True):
        found[names.devices[row[0]], names.observed_properties[row[1]], int(row[2]), float(row[3])] += 1
    for state in columns.states:
        place = (names.devices[state.device_index], names.observed_properties[state.property_index])
        found[*place, state.event_time_us, state.state] += 1
    for position in columns.positions:
        place = (names.devices[position.device_index], names.observed_properties[position.property_index])
        found[*place, position.event_time_us, (position.position.longitude, position.position.latitude)] += 1
    return found


@settings(max_examples=300, deadline=None)
@given(
    _rows(_numbers),
    _rows(_words),
    _rows(_places),
    st.sampled_from(["", "cabinet", "lamp", "bike"]),
    st.sets(st.sampled_from(["anna", "bert"])),
)
async def test_every_reading_is_published_once_or_refused_for_the_right_reason(
    numbers: list[Row], words: list[Row], places: list[Row], sender: str, consenting: set[str]
) -> None:
    """Portions hold exactly the good readings, by subject; every other index is answered with the judge's reason."""
    await _check(numbers, words, places, sender, consenting)


async def test_the_judge_notices_a_consent_gate_that_is_off() -> None:
    """With a gate that lets everybody through the same check fails, so that its silence means something."""
    readings: list[Row] = [(DEVICES.index("bike"), PROPERTIES.index("power"), NOW_US, 1.0)]
    await _check(readings, [], [], "", set())

    with patch.object(Consenting, "permits", lambda *_: True), pytest.raises(AssertionError, match="CONSENT_MISSING"):
        await _check(readings, [], [], "", set())


async def _check(numbers: list[Row], words: list[Row], places: list[Row], sender: str, consenting: set[str]) -> None:
    record, publisher = _pipeline(*consenting)
    rows = [*numbers, *words, *places]
    columns = _columns(numbers, words, places)
    verdicts = [_judge(row, sender, consenting) for row in rows]

    recorded = await record(Batch("noord", Door.GRPC, columns, NOW_US, sender))

    assert {each.index: each.reason for each in recorded.refusals} == {
        index: verdict for index, verdict in enumerate(verdicts) if verdict
    }
    assert (recorded.accepted_count, recorded.refused_count) == (verdicts.count(None), len(rows) - verdicts.count(None))
    _require_right_portions(publisher, rows, verdicts)
    _require_right_quarantine(publisher, rows, verdicts)


def _require_right_portions(publisher: RecordingPublisher, rows: list[Row], verdicts: list[Reason | None]) -> None:
    good: Counter[tuple[str, str, int, object]] = Counter()
    for row, verdict in zip(rows, verdicts, strict=True):
        if verdict is None:
            good[DEVICES[row[0]], PROPERTIES[row[1]], row[2], row[3]] += 1
    published: Counter[tuple[str, str, int, object]] = Counter()
    for portion in publisher.portions:
        named = _named(columns_of(portion))
        published += named
        for device, observed, _, _ in named:
            about = KNOWN[f"observedProperties/{observed}"]
            assert isinstance(about, PropertyFacts)
            assert portion.key == (PERSONAL if device in PERSONS else about.domain)
        for _, _, time_us, _ in named:
            past = portion.key != PERSONAL and time_us < NOW_US - BACKLOG_AGE_US
            assert portion.lane == (Lane.PERSONAL if portion.key == PERSONAL else Lane.PAST if past else Lane.PRESENT)
        if portion.key != PERSONAL and portion.numbers is not None:
            assert not set(columns_of(portion).names().devices) & PERSONS.keys()
    assert published == good


def _require_right_quarantine(publisher: RecordingPublisher, rows: list[Row], verdicts: list[Reason | None]) -> None:
    refused = Counter(verdict for verdict in verdicts if verdict)
    assert publisher.without_consent == refused.pop(Reason.CONSENT_MISSING, 0)
    kept: Counter[Reason] = Counter()
    for entry in publisher.quarantined:
        kept[entry.reason] += entry.reading_count
        if entry.rows is not None:
            assert not {device for device, *_ in _named(columns_of(entry.rows))} & PERSONS.keys()
    assert kept == refused


@settings(max_examples=100, deadline=None)
@given(_rows(_numbers), _rows(_words), st.sets(st.sampled_from(["anna", "bert"])), st.integers(0, 3))
async def test_of_payloads_together_only_those_without_a_fault_are_kept(
    numbers: list[Row], words: list[Row], consenting: set[str], admitted: int
) -> None:
    """A payload with a reading that is refused, or has no room, is left alone as a whole; nothing of it is published."""
    record, publisher = _pipeline(*consenting)
    publisher.admitted = admitted
    rows = [*numbers, *words]
    payload = np.array([number % 4 for number in range(len(rows))], np.int64)
    priority = [KNOWN[f"observedProperties/{PROPERTIES[row[1]]}"] for row in rows]
    ranks = [RANKS.index(each.priority) for each in priority if isinstance(each, PropertyFacts)]
    faults = [_judge(row, "", consenting) or rank >= admitted for row, rank in zip(rows, ranks, strict=True)]
    alone = {int(number) for number, fault in zip(payload, faults, strict=True) if fault}

    left = await record.together(Batch("noord", Door.MQTT, _columns(numbers, words, []), NOW_US), payload)

    assert set(left.tolist()) == alone
    verdicts = [Reason.SHED if int(number) in alone else None for number in payload]
    assert sum(portion.count for portion in publisher.portions) == verdicts.count(None)
    assert publisher.quarantined == []
    _require_right_portions(publisher, rows, verdicts)


async def test_a_devices_own_count_goes_with_its_readings() -> None:
    """The count of a device that is not known stays behind, that of the others goes along."""
    record, publisher = _pipeline()
    sequences = [DeviceSequence(device_index=2, sequence=7), DeviceSequence(device_index=6, sequence=8)]
    columns = replace(_columns([(2, 0, NOW_US, 1.0), (6, 0, NOW_US, 1.0)], [], []), sequences=sequences)

    await record(Batch("noord", Door.GRPC, columns, NOW_US))

    (portion,) = publisher.portions
    published = columns_of(portion)
    names = published.names().devices
    assert [(names[each.device_index], each.sequence) for each in published.sequences] == [("station", 7)]
    assert [each.sequence for each in join([published, columns]).sequences] == [7, 7, 8]


async def test_a_payload_that_names_a_person_is_not_kept() -> None:
    """One personal reading in a payload keeps its original bytes out of quarantine, whatever else is wrong with it."""
    record, publisher = _pipeline("anna")
    columns = _columns([(3, 0, NOW_US, -1.0), (2, 0, NOW_US, -1.0)], [], [])

    await record(Batch("noord", Door.HTTP, columns, NOW_US, payload=b"secret", content_type="application/json"))

    assert all(b"secret" not in entry.payload for entry in publisher.quarantined)
    assert {(entry.device, entry.reading_count) for entry in publisher.quarantined} == {("", 1), ("station", 1)}


async def test_an_undecodable_payload_of_a_person_is_not_kept() -> None:
    """Of a payload that a personal device sent and nobody can read nothing is kept but that it came."""
    registry, publisher = Registry(lambda: KNOWN), RecordingPublisher()
    refuse = RefusePayload(personal=registry.personal, publisher=publisher, counts=Uncounted())
    error = InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "not JSON")

    for device in ("bike", "station"):
        await refuse(
            error,
            door=Door.MQTT,
            district="noord",
            device=device,
            receipt_time_us=NOW_US,
            content_type="application/json",
            payload=b"{",
        )

    assert [(entry.device, entry.payload) for entry in publisher.quarantined] == [("", b""), ("station", b"{")]


async def test_a_change_of_the_registry_changes_the_verdict() -> None:
    """What was found out about a dictionary is forgotten when the registry changes."""
    known = dict(KNOWN)
    registry = Registry(lambda: known)
    batch = Batch("noord", Door.GRPC, _columns([(6, 0, NOW_US, 1.0)], [], []), NOW_US)
    before = int(registry(batch).reason[6 * len(PROPERTIES)])
    known["districts/noord/devices/stranger"] = DeviceFacts("thing", True, "", "", "")
    registry.changed()

    assert before != 0
    assert int(registry(batch).reason[6 * len(PROPERTIES)]) == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(_rows(_numbers), _rows(_words), _rows(_places)), min_size=1, max_size=4))
def test_joined_columns_hold_the_rows_of_all(many: list[tuple[list[Row], list[Row], list[Row]]]) -> None:
    """Joining loses and adds nothing."""
    columns = [_columns(*rows) for rows in many]
    expected: Counter[tuple[str, str, int, object]] = Counter()
    for each in columns:
        expected += _named(each)

    assert repr(sorted(map(repr, _named(join(columns)).elements()))) == repr(sorted(map(repr, expected.elements())))
