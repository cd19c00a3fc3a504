"""``maasloop export`` against a real timeseries service and real rows."""

import csv
import io
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg
import pytest

from maasloop.api.observation.v1.observation_pb2 import PositionObservation, StateObservation
from maasloop.bus.columns import build_columns
from maasloop.cli.exports import NAMES, WRITERS
from maasloop.stack.ports import free_ports
from maasloop.testing.service_process import service_process

pytestmark = pytest.mark.timeout(180)
"""Starting processes takes long on a busy machine."""

ROWS = 200_000
PEAK_MAX_BYTES = 16 * 1024 * 1024
"""The whole of the rows as text alone is larger."""
pa: Any = import_module("pyarrow")
parquet: Any = import_module("pyarrow.parquet")

RANGE = ("--from", "2026-03-01T00:00:00Z", "--to", "2026-03-04T00:00:00Z")

_FILL = """
    INSERT INTO series (district, device, observed_property, kind, retention)
    VALUES ('noord', 'a', 'pm25', 'numbers', '2y'), ('noord', 'b', 'signal-state', 'states', '2y');
    INSERT INTO numbers_2y (time, receipt_time, value, series)
    SELECT timestamptz '2026-03-01' + n * interval '1 s', now(), n / 4.0, s.id
    FROM generate_series(0, 199999) AS n, series AS s WHERE s.device = 'a';
    INSERT INTO states_2y (time, receipt_time, state, series)
    SELECT timestamptz '2026-03-01 00:00:00.25', now(), 'r,"G', id FROM series WHERE device = 'b';
    INSERT INTO latest (series, time, receipt_time, value, stored, late)
    SELECT id, '2026-03-03', now(), 1, 200000, 0 FROM series
"""


@pytest.fixture(name="options")
def _options(service_dsn: Callable[[str], str], nats_url: str, maasloop: Any) -> Iterator[list[str]]:
    names = ("device_registry", "timeseries", "registry_http", "timeseries_http")
    at = {name: f"127.0.0.1:{port}" for name, port in zip(names, free_ports(len(names)), strict=True)}
    assert maasloop("--nats", nats_url, "streams", "ensure").status == 0
    dsn = service_dsn("timeseries")
    with (
        service_process(
            "device-registry",
            postgres_dsn=service_dsn("device-registry"),
            nats_url=nats_url,
            grpc_address=at["device_registry"],
            health_address=at["registry_http"],
        ),
        service_process(
            "timeseries",
            postgres_dsn=dsn,
            nats_url=nats_url,
            grpc_address=at["timeseries"],
            health_address=at["timeseries_http"],
            device_registry_address=at["device_registry"],
        ),
    ):
        options = ["--address", f"timeseries={at['timeseries']}"]
        # It answers when it knows whose devices are.
        while maasloop(*options, "export", "noord", *RANGE).status != 0:
            pass
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(_FILL)
        yield options


def test_a_range_is_exported_whole_and_in_constant_memory(options: list[str], maasloop: Any, tmp_path: Path) -> None:
    """Every row is in the file once and in order, and the process never held more than a few batches."""
    file = tmp_path / "out.csv"
    tracemalloc.start()
    try:
        ended = maasloop(*options, "export", "noord", *RANGE, "-o", str(file))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    header, *rows = csv.reader(io.StringIO(file.read_text(), newline=""))

    assert (ended.status, ended.error.startswith(f"{ROWS + 1} observations")) == (0, True)
    assert tuple(header) == NAMES
    assert rows[0] == ["2026-03-01T00:00:00.000000Z", "a", "pm25", "0.0", "", "", ""]
    assert [float(row[3]) for row in rows[:-1]] == [n / 4 for n in range(ROWS)]
    assert rows[-1] == ["2026-03-01T00:00:00.250000Z", "b", "signal-state", "", 'r,"G', "", ""]
    assert peak < PEAK_MAX_BYTES < file.stat().st_size * 2
    again = tmp_path / "out.parquet"
    assert maasloop(*options, "export", "noord", *RANGE, "-o", str(again)).status == 0
    assert parquet.read_table(again).column("value").to_pylist()[:3] == [0.0, 0.25, 0.5]


@pytest.mark.parametrize("form", ["csv", "arrow", "parquet"])
def test_every_format_holds_numbers_words_and_places(form: str) -> None:
    """What is written is read back, of each kind of result."""
    columns = build_columns(
        ["a", "b"],
        ["pm25", "state", "position"],
        [0, 1],
        [0, 0],
        [1_000_000, 2_000_001],
        [0.5, -3.25],
        states=[StateObservation(device_index=1, property_index=1, event_time_us=3_000_000, state="aan, uit")],
        positions=[PositionObservation(device_index=0, property_index=2, event_time_us=4_000_000)],
    )
    file = io.BytesIO()
    writer = WRITERS[form](file)
    writer.write(columns)
    writer.write(columns)
    writer.close()
    content = io.BytesIO(file.getvalue())
    if form == "csv":
        rows: list[Any] = [list(row.values()) for row in csv.DictReader(io.TextIOWrapper(content, newline=""))]
        expected: list[Any] = [["a", "pm25", "0.5", ""], ["b", "pm25", "-3.25", ""], ["b", "state", "", "aan, uit"]]
        found: list[Any] = [row[1:5] for row in rows[:3]]
        assert rows[1][0] == "1970-01-01T00:00:02.000001Z"
    else:
        table = pa.ipc.open_stream(content).read_all() if form == "arrow" else parquet.read_table(content)
        assert table.schema.names == list(NAMES)
        rows = table.to_pylist()
        expected = [["a", "pm25", 0.5, None], ["b", "pm25", -3.25, None], ["b", "state", None, "aan, uit"]]
        found = [[row["device"], row["observed_property"], row["value"], row["state"]] for row in rows[:3]]
        assert rows[1]["time"].isoformat() == "1970-01-01T00:00:02.000001+00:00"
        assert (rows[3]["longitude"], rows[2]["longitude"]) == (0.0, None)
    assert found == expected
    assert len(rows) == 8


def test_without_pyarrow_it_is_said_what_to_install(
    maasloop: Any, contract: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow needs an extra; nothing is left behind."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ended = maasloop(*contract.options(), "export", "noord", "-o", str(tmp_path / "out.arrow"))

    assert ended.status == 1
    assert "maasloop-cli[arrow]" in ended.error
    assert list(tmp_path.iterdir()) == []
