"""What a site tells becomes readings of its devices, at the site's own times."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from maasloop.actuation.adapters.rsmp.observations import _COUNTS, _WORDS, ALARM, EVIDENCE, SIGNAL_STATE, Translator
from maasloop.actuation.domain.reading import Reading
from maasloop.rsmp.events import AggregatedStatusReported, AlarmReported, StatusReported
from maasloop.rsmp.events import Reading as Told
from maasloop.rsmp.messages import Address, AggregatedStatus, AlarmAct, AlarmReport, Quality, Value
from maasloop.rsmp.supervised import SupervisedSite

CATALOGUE = Path(__file__).resolve().parents[4] / "examples" / "rsmp-catalogue.json"
TIME = datetime(2026, 1, 1, tzinfo=UTC)
TIME_US = int(TIME.timestamp()) * 1_000_000
SITE = SupervisedSite(
    ("S1",),
    "TC",
    signal_groups={"A1": "north", "A2": "south", "B1": "east"},
    detector_logics={"DL1": "loop-1", "DL2": "loop-2"},
)


def _translator() -> Translator:
    # The data sheet has another order than the site.
    return Translator("tlc-1", SITE, ("east", "north", "south"))


def _status(component: str = "TC", quality: Quality = Quality.RECENT, **values: Value) -> StatusReported:
    told = [
        Told(name.partition("_")[0], name.partition("_")[2], value, quality, "" if value is not None else "wrong")
        for name, value in values.items()
    ]
    return StatusReported(component, TIME, tuple(told), requested=False)


def test_signal_groups_are_told_in_the_order_of_the_platform() -> None:
    """Each character becomes an aspect; start-up is dark, flashing green ends a green."""
    for shown, expected in (("1BN", "yGr"), ("0P9", "yrr"), ("efg", "OOO"), ("ccc", "ooo"), ("1", "OGO")):
        (reading,) = _translator().readings(_status(S0001_signalgroupstatus=shown))
        assert reading == Reading("tlc-1", "signal-state", TIME_US, state=expected)


def test_detectors_are_told_as_their_devices() -> None:
    """Presence from S0002, counts and occupancy from lists and single logics; no data is no reading."""
    told = _translator().readings(
        _status(S0002_detectorlogicstatus="10", S0205_vehicles="7,-1", S0205_start="2026-01-01T00:00:00.000Z",
                S0207_occupancy="50,0")
    )  # fmt: skip
    single = _translator().readings(_status("DL2", S0201_vehicles="3", S0204_C="2"))

    assert [(each.device, each.observed_property, each.value) for each in told] == [
        ("loop-1", "presence", 1.0),
        ("loop-2", "presence", 0.0),
        ("loop-1", "vehicle-count", 7.0),
        ("loop-1", "occupancy", 0.5),
        ("loop-2", "occupancy", 0.0),
    ]
    assert [(each.device, each.observed_property, each.value) for each in single] == [
        ("loop-2", "vehicle-count", 3.0),
        ("loop-2", "cyclist-count", 2.0),
    ]


def test_what_was_kept_has_its_own_time_and_what_is_wrong_is_no_reading() -> None:
    """Old values are readings of when they were taken; values with a problem, or without any, are none."""
    (old,) = _translator().readings(_status(quality=Quality.OLD, S0014_status="2"))

    assert (old.observed_property, old.state, old.time_us) == ("signal-plan", "2", TIME_US)
    assert _translator().readings(_status(S0014_status=None)) == []
    assert _translator().readings(_status(quality=Quality.UNKNOWN, S0014_status="2")) == []


def test_the_state_at_a_glance_is_words() -> None:
    """The bits of an aggregated status by their names."""
    bits = (True, False, True, False, False, True, False, False)
    (reading,) = _translator().readings(AggregatedStatusReported(AggregatedStatus("", Address("TC"), TIME, bits)))

    assert (reading.observed_property, reading.state) == (
        "controller-state",
        "local-control high-priority-fault in-use",
    )


def _alarm(component: str, code: str, *, active: bool, suspended: bool = False) -> AlarmReported:
    report = AlarmReport(
        "", Address(component), code, AlarmAct.ISSUE, active, acknowledged=False, suspended=suspended,
        time=TIME + timedelta(seconds=1), category="D", priority=2,
    )  # fmt: skip
    return AlarmReported(report, "title")


def test_alarms_are_one_series_a_device_that_is_clear_again() -> None:
    """All active alarms of a device are its state; suspended ones are not among them, and no two readings have one time."""
    translator = _translator()
    told = [
        reading
        for event in (
            _alarm("DL1", "A0302", active=True),
            _alarm("DL1", "A0301", active=False),
            _alarm("TC", "A0008", active=True),
            _alarm("A1", "A0201", active=True),
            _alarm("DL1", "A0302", active=False),
            _alarm("TC", "A0008", active=True, suspended=True),
        )
        for reading in translator.readings(event)
    ]

    assert [(each.device, each.state) for each in told] == [
        ("loop-1", "A0302"),
        ("tlc-1", "A0008"),
        ("tlc-1", "A0008 A0201:A1"),
        ("loop-1", "none"),
        ("tlc-1", "A0201:A1"),
    ]
    assert len({(each.device, each.time_us) for each in told}) == len(told)


def test_evidence_never_has_the_time_of_another() -> None:
    """Two commands that one status confirms are two readings, or the second one would not be stored."""
    translator = _translator()
    told = (Told("S0014", "status", "3", Quality.RECENT),)
    first, second = (translator.evidence("M0002", told, TIME) for _ in range(2))

    assert first.state == "M0002 S0014.status=3"
    assert second.time_us == first.time_us + 1


def test_the_example_catalogue_has_all_that_is_told() -> None:
    """What a site tells is observed by the device types of the example, or ingest would refuse it."""
    catalogue = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    controller, detector = (
        {name.rpartition("/")[2] for name in each["observedProperties"]} for each in catalogue["deviceTypes"]
    )
    known = {each["name"].rpartition("/")[2] for each in catalogue["observedProperties"]}

    assert controller == {SIGNAL_STATE, EVIDENCE, ALARM, "controller-state", *_WORDS.values()}
    assert detector == {"presence", "occupancy", ALARM, *_COUNTS.values()}
    assert known == controller | detector
