"""The size of a city is arithmetic over what was measured."""

from dataclasses import replace

import pytest

from maasloop.stack.capacity import DAY_S, UTILISATION, City, Costs, size

COSTS = Costs(
    measured={},
    reading_cpu_ms={
        "batches": {"ingest": 0.001, "timeseries": 0.002, "nats": 0.001, "postgres": 0.01},
        "mqtt": {"ingest": 1.0, "timeseries": 0.1, "nats": 0.1, "postgres": 0.1},
    },
    reading_rows_per_s={"batches": 300_000.0, "mqtt": 3_000.0},
    reading_stream_bytes={"batches": 16.0, "mqtt": 300.0},
    reading_row_bytes=100.0,
    reading_wal_bytes=200.0,
    lamp_command_cpu_ms={"actuation": 3.6, "ingest": 1.8},
    junction_second_cpu_ms=1.0,
    memory_mib={"ingest": 100.0},
)


def _cores(city: City) -> dict[str, float]:
    return {part.name: part.cores for part in size(city, COSTS).parts}


def test_processor_time_adds_up() -> None:
    """Readings, commands and junctions each cost what was measured, and nothing else does."""
    found = _cores(City(10_000, lamps=1_000, junctions=100, commands_a_lamp_and_hour=3.6))
    assert found["ingest"] == pytest.approx(10_000 * 0.001 / 1_000 + 1.8 / 1_000, abs=1e-3)
    assert found["actuation"] == pytest.approx(3.6 / 1_000 + 100 / 1_000, abs=1e-3)
    assert found["consent"] == 0.0
    assert sum(_cores(City(0)).values()) == 0.0


def test_a_process_that_would_be_full_becomes_several() -> None:
    """Ingest grows by pods of a planned share of a core and never has fewer than two; what is one stays one."""
    parts = {part.name: part for part in size(City(3_000, door="mqtt"), COSTS).parts}
    assert parts["ingest"].cores == pytest.approx(3.0)
    assert parts["ingest"].pods == round(3.0 / UTILISATION) == 5
    assert parts["timeseries"].pods == 1
    assert {part.name: part.pods for part in size(City(1), COSTS).parts}["ingest"] == 2
    assert parts["ingest"].memory_mib >= 150


def test_bytes_are_bytes_a_reading() -> None:
    """A day of rows, of log and of the stream, and the factor that makes the stream hold it."""
    found = size(City(1_000), COSTS)
    gib = 1_000 * DAY_S / 1_024**3
    assert found.rows_gib_a_day == pytest.approx(100 * gib, abs=0.01)
    assert found.wal_gib_a_day == pytest.approx(200 * gib, abs=0.01)
    assert found.stream_gib == pytest.approx(16 * gib, abs=0.01)
    assert found.streams_scale == 1
    assert size(City(10_000), COSTS).streams_scale == 4


@pytest.mark.parametrize(
    ("city", "named"),
    [
        (City(1, junctions=700), "actuation"),
        (City(9_000_000), "NATS"),
        (City(1_700_000), "PostgreSQL"),
    ],
)
def test_what_is_outgrown_is_named(city: City, named: str) -> None:
    """Where one server is not enough the answer says which."""
    assert any(limit.startswith(named) for limit in size(city, COSTS).limits)
    assert not size(replace(city, readings_per_s=1.0, junctions=1), COSTS).limits


def test_a_door_that_was_not_measured_is_refused() -> None:
    """The sentence names those that were."""
    with pytest.raises(ValueError, match="batches, mqtt"):
        size(City(1, door="pigeon"), COSTS)


def test_the_costs_of_this_version_are_whole() -> None:
    """Every door has the processes that each reading passes, and no cost is zero."""
    costs = Costs.read()
    for door in ("batches", "http", "mqtt"):
        assert all(costs.reading_cpu_ms[door][name] > 0 for name in ("ingest", "nats", "timeseries", "postgres"))
        assert costs.reading_rows_per_s[door] > 0
        assert costs.reading_stream_bytes[door] > 0
    assert costs.reading_row_bytes > 0
    assert costs.reading_wal_bytes > 0
    assert costs.junction_second_cpu_ms > 0
    assert costs.lamp_command_cpu_ms["actuation"] > 0
    assert costs.memory_mib["ingest"] > 0
