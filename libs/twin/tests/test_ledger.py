"""The ledger of what was acknowledged."""

from maasloop.twin.devices.readings import Reading
from maasloop.twin.play.ledger import Ledger


def reading(time_us: int, *, device: str = "air-01", value: float = 1.0) -> Reading:
    """Return a reading."""
    return Reading(device, "pm25", time_us, value)


def test_a_reading_that_was_sent_twice_counts_once() -> None:
    """A row is known by series and event time, whatever its value."""
    ledger = Ledger(0)
    ledger.acknowledge([reading(1), reading(2)])
    ledger.acknowledge([reading(1), reading(1, value=2.0), reading(1, device="air-02")])

    assert ledger.good_count == 3


def test_what_was_refused_was_not_acknowledged_as_good() -> None:
    """The order of PUBACK and refusal does not matter."""
    ledger = Ledger(0)
    ledger.refuse([reading(2)], "VALUE_OUT_OF_RANGE")
    ledger.acknowledge([reading(1), reading(2)])
    ledger.refuse([reading(1)], "DEVICE_UNKNOWN")

    assert ledger.good_count == 0
    assert ledger.refused_by_reason == {"VALUE_OUT_OF_RANGE": 1, "DEVICE_UNKNOWN": 1}
    assert not ledger.holds(reading(1))


def test_what_was_refused_once_and_taken_later_is_good() -> None:
    """A device that sends a reading again when it was refused has it acknowledged in the end."""
    ledger = Ledger(0)
    ledger.acknowledge([reading(1)])
    ledger.refuse([reading(1)], "DEVICE_UNKNOWN")
    ledger.acknowledge([reading(1)])

    assert ledger.good_count == 1
    assert ledger.holds(reading(1))


def test_other_seconds_and_series_stay_apart() -> None:
    """Neighbouring keys never fall together."""
    ledger = Ledger(1_000_000)
    readings = [reading(1_000_000 + i, device=f"air-{j}") for i in range(50) for j in range(20)]
    ledger.acknowledge(readings)

    assert ledger.good_count == 1000
    assert all(ledger.holds(one) for one in readings)
