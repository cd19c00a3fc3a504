"""Rows of an import file: JSON Lines or CSV, decoded one at a time from a spooled file.

A row's number is its line in the file, from 1; in CSV the header is line 1. What cannot be decoded becomes a fault of
its row, so that one answer names all wrong rows.
"""

import asyncio
import csv
import io
import math
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import IO

from google.protobuf import json_format

from maasloop.api.device.v1 import device_pb2
from maasloop.core.errors import InvalidArgument, MaasloopError
from maasloop.core.ids import DeviceName, valid_id
from maasloop.core.reasons import Reason
from maasloop.device_registry.domain.importing import ImportRow, RowFault
from maasloop.device_registry.domain.resource import Key, Kind
from maasloop.device_registry.entrypoints.messages import device_from
from maasloop.rpc.validation import validate

LINE_BYTES_MAX = 2 * 1024 * 1024
ROWS_BETWEEN_PAUSES = 100
"""After this many rows the event loop gets its turn: decoding them takes a few milliseconds."""

COLUMNS = ("device", "device_type", "display_name", "longitude", "latitude", "groups", "gateway", "external_ids")
REQUIRED_COLUMNS = ("device", "device_type")

type Row = ImportRow | RowFault


async def decoded(rows: Iterator[Row]) -> AsyncIterator[Row]:
    """Yield rows without holding the event loop for long."""
    for count, row in enumerate(rows):
        if count % ROWS_BETWEEN_PAUSES == 0:
            await asyncio.sleep(0)
        yield row


def json_rows(file: IO[bytes]) -> Iterator[Row]:
    """Decode one protobuf-JSON ``Device`` a line; empty lines are passed over."""
    number = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > LINE_BYTES_MAX:
            yield RowFault(number, "content", f"a line has at most {LINE_BYTES_MAX} bytes")
            return
        if line.strip():
            yield _row(number, partial(json_format.Parse, line, device_pb2.Device()))


def csv_rows(file: IO[bytes], district: str) -> Iterator[Row]:
    """Decode RFC 4180 with a header; columns may be left out, but for the device and its type."""
    reader = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
    try:
        header = next(reader, [])
        _check_header(header)
        for cells in reader:
            if cells:
                yield _csv_row(reader.line_num, header, cells, district)
    except (csv.Error, UnicodeDecodeError) as error:
        yield RowFault(reader.line_num or 1, "content", f"no CSV: {error}")


def _check_header(header: list[str]) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    missing = [name for name in REQUIRED_COLUMNS if name not in header]
    if unknown or missing or len(set(header)) != len(header):
        message = f"the header must be made of {','.join(COLUMNS)}, each once; got {','.join(header)[:200]}"
        raise InvalidArgument(Reason.IMPORT_ROW_INVALID, message, {"row": "1", "field": "content"})


def _csv_row(number: int, header: list[str], cells: list[str], district: str) -> Row:
    if len(cells) != len(header):
        return RowFault(number, "content", f"{len(header)} cells are needed; got {len(cells)}")
    return _row(number, lambda: _csv_device(dict(zip(header, cells, strict=True)), district))


def _csv_device(cells: dict[str, str], district: str) -> device_pb2.Device:
    device_type = cells["device_type"]
    device = device_pb2.Device(
        name=str(Key(Kind.DEVICE, district, cells["device"])),
        device_type=f"deviceTypes/{device_type}" if valid_id(device_type) else device_type,
        display_name=cells.get("display_name", ""),
        groups=cells.get("groups", "").split(),
        gateway=cells.get("gateway", ""),
        external_ids=cells.get("external_ids", "").split(),
    )
    longitude, latitude = cells.get("longitude", ""), cells.get("latitude", "")
    if longitude or latitude:
        device.location.longitude, device.location.latitude = _degrees(longitude), _degrees(latitude)
    return device


def _degrees(cell: str) -> float:
    try:
        degrees = float(cell)
    except ValueError:
        degrees = math.nan
    if not math.isfinite(degrees):
        metadata = {"field": "location", "rule": "number"}
        raise InvalidArgument(Reason.REQUEST_INVALID, f"degrees are needed; got {cell[:40]!r}", metadata)
    return degrees


def _row(number: int, decode: Callable[[], device_pb2.Device]) -> Row:
    try:
        message = decode()
        validate(message)
        return ImportRow(number, device_from(message, DeviceName.parse(message.name)))
    except MaasloopError as error:
        return RowFault(number, error.metadata.get("field", "name"), error.message)
    except (json_format.ParseError, UnicodeDecodeError) as error:
        return RowFault(number, "content", f"no Device in protobuf-JSON: {str(error)[:200]}")
