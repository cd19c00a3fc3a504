"""When devices were last heard."""

import numpy as np

from maasloop.notification.adapters.sightings import MemorySightings
from maasloop.notification.ports import Names, ReadingBatch, Sighting

KEY = ("noord", "noise-level")


def _note(sightings: MemorySightings, devices: tuple[str, ...], rows: list[tuple[int, int]]) -> None:
    index = np.array([device for device, _ in rows], np.uint32)
    times = np.array([time for _, time in rows], np.int64)
    names = Names(devices, ("noise-level",))
    batch = ReadingBatch("noord", names, index, np.zeros_like(index), times, np.zeros(len(rows)), ())
    sightings.note(batch, "noise-level", index, times)


def _silent(sightings: MemorySightings, before_us: int) -> dict[str, int]:
    return {sighting.device: sighting.event_us for sighting in sightings.silent(*KEY, before_us)}


def test_the_newest_reading_counts_in_whatever_order() -> None:
    """Late and repeated readings change nothing, and devices of different dictionaries are told apart."""
    sightings = MemorySightings()
    sightings.watch({KEY})
    _note(sightings, ("a", "b"), [(0, 10), (1, 20), (0, 5), (1, 30)])
    _note(sightings, ("c", "b"), [(0, 40), (1, 25)])

    assert _silent(sightings, 100) == {"a": 10, "b": 30, "c": 40}
    assert _silent(sightings, 30) == {"a": 10}


def test_only_devices_that_sent_something_can_be_silent() -> None:
    """A name in a dictionary without a reading is not a device that was heard."""
    sightings = MemorySightings()
    _note(sightings, tuple(f"d{place}" for place in range(200)), [(150, 7)])
    assert _silent(sightings, 100) == {"d150": 7}


def test_what_was_stored_is_known_again() -> None:
    """A restart begins with the table, writes what is new once, and forgets what nobody watches."""
    sightings = MemorySightings()
    sightings.load([Sighting(*KEY, "a", 10), Sighting("noord", "other", "z", 1)])
    sightings.watch({KEY})
    _note(sightings, ("a", "b"), [(1, 20)])

    assert _silent(sightings, 100) == {"a": 10, "b": 20}
    assert list(sightings.unwritten()) == [Sighting(*KEY, "b", 20)]
    assert list(sightings.unwritten()) == []
    assert sightings.dropped() == [("noord", "other")]


def test_a_forgotten_device_is_not_silent_until_it_speaks() -> None:
    """A retired device is gone from the list, and from the table."""
    sightings = MemorySightings()
    _note(sightings, ("a",), [(0, 10)])
    sightings.forget(Sighting(*KEY, "a", 10))
    assert _silent(sightings, 100) == {}
    assert [sighting.device for sighting in sightings.forgotten()] == ["a"]
    _note(sightings, ("a",), [(0, 20)])
    assert _silent(sightings, 100) == {"a": 20}
