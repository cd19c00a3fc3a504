"""Files of observations: CSV, Arrow (a stream of IPC messages) and Parquet, written batch by batch.

Every format has the same seven columns; of the results one is filled. Whatever its length, no more than a few batches of a
range are in memory.
"""

import csv
import io
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, Protocol

from maasloop.core.errors import FailedPrecondition
from maasloop.core.reasons import Reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from maasloop.bus.columns import Columns

NAMES = ("time", "device", "observed_property", "value", "state", "longitude", "latitude")
ROWS_A_GROUP = 100_000
"""Rows of a Parquet row group: they are in memory until it is full."""


class Writer(Protocol):
    """A file that is being written."""

    def write(self, columns: "Columns") -> None:
        """Add the rows of a batch."""
        ...

    def close(self) -> None:
        """Write what is left, and leave the file open."""
        ...


class CsvWriter:
    """RFC 4180 in UTF-8 with a header; times as RFC 3339 in UTC with microseconds."""

    def __init__(self, file: IO[bytes]) -> None:
        """Write the header."""
        self._file = file
        self._text = io.StringIO(newline="")
        self._csv = csv.writer(self._text)
        self._csv.writerow(NAMES)
        self._hand_over()

    def write(self, columns: "Columns") -> None:
        """Add the rows of a batch."""
        names = columns.names()
        devices, properties = list(names.devices), list(names.observed_properties)
        index = zip(columns.device_index.tolist(), columns.property_index.tolist(), strict=True)
        rows = zip(_rfc3339(columns.event_time_us), index, columns.value.tolist(), strict=True)
        self._csv.writerows(
            (time, devices[device], properties[observed], repr(value), "", "", "")
            for time, (device, observed), value in rows
        )
        for state in columns.states:
            (time,) = _rfc3339([state.event_time_us])
            named = (time, devices[state.device_index], properties[state.property_index])
            self._csv.writerow((*named, "", state.state, "", ""))
        for place in columns.positions:
            (time,) = _rfc3339([place.event_time_us])
            named = (time, devices[place.device_index], properties[place.property_index])
            self._csv.writerow((*named, "", "", repr(place.position.longitude), repr(place.position.latitude)))

        self._hand_over()

    def close(self) -> None:
        """Leave the file open: everything is written."""

    def _hand_over(self) -> None:
        self._file.write(self._text.getvalue().encode())
        self._text.seek(0)
        self._text.truncate()


class ArrowWriter:
    """Arrow's streaming format: readable while it is written, by a pipe as well."""

    def __init__(self, file: IO[bytes]) -> None:
        """Write the schema."""
        self._arrow = _arrow("pyarrow")
        self._schema = _schema(self._arrow)
        self._writer = self._arrow.ipc.new_stream(file, self._schema)

    def write(self, columns: "Columns") -> None:
        """Add the rows of a batch."""
        self._writer.write_batch(_batch(self._arrow, self._schema, columns))

    def close(self) -> None:
        """Write the end of the stream."""
        self._writer.close()


class ParquetWriter:
    """Parquet with row groups of about ``ROWS_A_GROUP`` rows, compressed with zstd."""

    def __init__(self, file: IO[bytes]) -> None:
        """Begin a file."""
        self._arrow = _arrow("pyarrow")
        self._schema = _schema(self._arrow)
        self._writer = _arrow("pyarrow.parquet").ParquetWriter(file, self._schema, compression="zstd")
        self._held: list[Any] = []
        self._rows = 0

    def write(self, columns: "Columns") -> None:
        """Add the rows of a batch."""
        self._held.append(_batch(self._arrow, self._schema, columns))
        self._rows += len(columns)
        if self._rows >= ROWS_A_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left and the footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(self._arrow.Table.from_batches(self._held, self._schema))
            self._held, self._rows = [], 0


WRITERS: dict[str, type[CsvWriter | ArrowWriter | ParquetWriter]] = {
    "csv": CsvWriter,
    "arrow": ArrowWriter,
    "parquet": ParquetWriter,
}


def _arrow(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        message = "Arrow and Parquet need pyarrow: install maasloop-cli[arrow], or export CSV"
        raise FailedPrecondition(Reason.STATE_FORBIDS, message) from None


def _schema(arrow: Any) -> Any:
    kinds = (arrow.timestamp("us", "UTC"), arrow.string(), arrow.string(), arrow.float64(), arrow.string())
    return arrow.schema(list(zip(NAMES, (*kinds, arrow.float64(), arrow.float64()), strict=True)))


def _batch(arrow: Any, schema: Any, columns: "Columns") -> Any:
    """Return a record batch: numbers, then words, then places."""
    names = columns.names()
    words, places = list(columns.states), list(columns.positions)
    others: list[Any] = [*words, *places]
    numbers, more = len(columns.value), len(others)

    def whole(first: Any, rest: list[Any], kind: Any) -> Any:
        return arrow.concat_arrays([arrow.array(first, kind), arrow.array(rest, kind)])

    def named(index: "NDArray[np.uint32]", rest: list[int], of: Any) -> Any:
        return arrow.array(list(of), arrow.string()).take(whole(index, rest, arrow.uint32()))

    none = [None] * numbers
    lone = [None] * len(words)
    times = whole(columns.event_time_us, [each.event_time_us for each in others], arrow.int64())
    arrays = [
        times.cast(schema.field("time").type),
        named(columns.device_index, [each.device_index for each in others], names.devices),
        named(columns.property_index, [each.property_index for each in others], names.observed_properties),
        whole(columns.value, [None] * more, arrow.float64()),
        arrow.array([*none, *(word.state for word in words), *([None] * len(places))], arrow.string()),
        arrow.array([*none, *lone, *(place.position.longitude for place in places)], arrow.float64()),
        arrow.array([*none, *lone, *(place.position.latitude for place in places)], arrow.float64()),
    ]
    return arrow.record_batch(arrays, schema=schema)


def _rfc3339(time_us: Any) -> list[str]:
    import numpy as np

    text: list[str] = np.datetime_as_string(np.asarray(time_us, "datetime64[us]"), timezone="UTC").tolist()
    return text
