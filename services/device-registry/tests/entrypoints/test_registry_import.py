"""An import is all or nothing, names its wrong rows, and reaches whoever follows the registry."""

import csv
import io
import json
import resource
import time
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

from maasloop.api.device.v1 import device_service_pb2 as pb
from maasloop.api.device.v1.device_pb2 import Device, DeviceType, District
from maasloop.api.device.v1.events_pb2 import DevicesChanged
from maasloop.core.errors import InvalidArgument, NotFound
from maasloop.rpc.client import call, stream
from maasloop.rpc.statuses import translated

if TYPE_CHECKING:
    from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceAsyncStub

NOORD = "districts/noord"
CHUNK_BYTES = 1_000_000
JSON_LINES = pb.ImportDevicesRequest.FORMAT_JSON_LINES
CSV = pb.ImportDevicesRequest.FORMAT_CSV


@pytest.fixture(name="stub")
async def _stub(registry: Any) -> "DeviceServiceAsyncStub":  # noqa: ANN401 - of conftest, which is no module
    stub: DeviceServiceAsyncStub = registry.stub
    for name in ("lamp", "cabinet"):
        device_type = DeviceType(display_name=name)
        await call(stub.CreateDeviceType, pb.CreateDeviceTypeRequest(device_type_id=name, device_type=device_type))
    district = District(display_name="Noord")
    await call(stub.CreateDistrict, pb.CreateDistrictRequest(district_id="noord", district=district))
    return stub


def _row(device: str, kind: str = "lamp", **fields: object) -> dict[str, object]:
    return {"name": f"{NOORD}/devices/{device}", "deviceType": f"deviceTypes/{kind}", **fields}


def _lines(rows: Iterable[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


async def _import(
    stub: "DeviceServiceAsyncStub",
    content: bytes,
    *,
    kind: "pb.ImportDevicesRequest.Format.ValueType" = JSON_LINES,
    **first: Any,  # noqa: ANN401 - any field of the message
) -> pb.ImportDevicesResponse:
    async def chunks() -> AsyncIterator[pb.ImportDevicesRequest]:
        yield pb.ImportDevicesRequest(**{"parent": NOORD, "format": kind, **first}, content=content[:CHUNK_BYTES])
        for start in range(CHUNK_BYTES, len(content), CHUNK_BYTES):
            yield pb.ImportDevicesRequest(content=content[start : start + CHUNK_BYTES])

    with translated():
        return await stub.ImportDevices(chunks())


async def _count(stub: "DeviceServiceAsyncStub") -> int:
    return len((await call(stub.ListDevices, pb.ListDevicesRequest(parent=NOORD, page_size=1_000))).devices)


async def test_json_lines_become_devices(stub: "DeviceServiceAsyncStub") -> None:
    """Rows keep what they say; a gateway may come after what it speaks for; a second import changes nothing."""
    lamp = _row("lamp-1", displayName="Lamp", gateway="cabinet-1", location={"longitude": 4.5, "latitude": 51.9})
    content = _lines([lamp, _row("cabinet-1", "cabinet", config={"fuse_a": 16})]) + b"\n"
    first = await _import(stub, content, activate=True)
    second = await _import(stub, content)

    assert (first.created_count, first.unchanged_count) == (2, 0)
    assert (second.created_count, second.unchanged_count, second.revision) == (0, 2, first.revision)
    device = await call(stub.GetDevice, pb.GetDeviceRequest(name=f"{NOORD}/devices/lamp-1"))
    assert (device.display_name, device.gateway, device.state) == ("Lamp", "cabinet-1", Device.STATE_ACTIVE)
    assert device.location.longitude == 4.5
    cabinet = await call(stub.GetDevice, pb.GetDeviceRequest(name=f"{NOORD}/devices/cabinet-1"))
    assert cabinet.config["fuse_a"] == 16
    assert cabinet.revision == first.revision


async def test_csv_becomes_devices(stub: "DeviceServiceAsyncStub") -> None:
    """Columns of the header, quoted cells, groups separated by blanks; what is left out is empty."""
    content = (
        "\ufeffdevice,device_type,display_name,longitude,latitude,groups\r\n"
        'lamp-1,lamp,"Quay, ""east""",4.5,51.9,kade route-1\r\n'
        "lamp-2,deviceTypes/lamp,,,,\r\n"
    ).encode()

    assert (await _import(stub, content, kind=CSV)).created_count == 2
    device = await call(stub.GetDevice, pb.GetDeviceRequest(name=f"{NOORD}/devices/lamp-1"))
    assert (device.display_name, list(device.groups)) == ('Quay, "east"', ["kade", "route-1"])
    assert device.location.latitude == 51.9


WRONG = [
    (_row("lamp-1"), ""),
    (_row("Lamp"), "name"),
    (_row("lamp-2", "unknown"), "device_type"),
    (_row("lamp-1"), "name"),
    ({**_row("lamp-3"), "name": "districts/zuid/devices/lamp-3"}, "name"),
    (_row("lamp-4", location={"longitude": 200, "latitude": 0}), "location.longitude"),
    (_row("lamp-5", gateway="nobody"), "gateway"),
    (_row("lamp-6", gateway="lamp-7"), "gateway"),
    (_row("lamp-7", gateway="lamp-1"), ""),
    (_row("lamp-8", colour="red"), "content"),
    (_row("known", displayName="Other"), "name"),
    (_row("lamp-9", dataSubject="dataSubjects/a"), "processing_activity"),
]


async def test_every_wrong_row_is_named_and_nothing_is_imported(stub: "DeviceServiceAsyncStub") -> None:
    """Faults of decoding, of rules, between rows and against the registry come in one answer, by row and field."""
    await _import(stub, _lines([_row("known")]))
    with pytest.raises(InvalidArgument) as refused:
        await _import(stub, _lines(row for row, _ in WRONG) + b"{\n")

    rows = [str(number) for number, (_, field) in enumerate(WRONG, 1) if field] + [str(len(WRONG) + 1)]
    assert refused.value.reason == "IMPORT_ROW_INVALID"
    assert refused.value.metadata["row"].split(",") == rows
    assert refused.value.metadata["field"].split(",") == [field for _, field in WRONG if field] + ["content"]
    assert "row 2:" in refused.value.message
    assert await _count(stub) == 1


async def test_at_most_a_hundred_rows_are_named(stub: "DeviceServiceAsyncStub") -> None:
    """A file that is wrong from end to end gets an answer of bounded size that tells how many rows are wrong."""
    with pytest.raises(InvalidArgument) as refused:
        await _import(stub, _lines(_row(f"lamp-{number}", "unknown") for number in range(500)))

    assert len(refused.value.metadata["row"].split(",")) == 100
    assert "500 rows are wrong" in refused.value.message


@pytest.mark.parametrize("header", ["device,type", "device,device_type,colour", "device,device_type,device", ""])
async def test_a_foreign_header_is_refused(stub: "DeviceServiceAsyncStub", header: str) -> None:
    """CSV of another shape is refused as a whole, at row 1."""
    with pytest.raises(InvalidArgument) as refused:
        await _import(stub, f"{header}\na,b\n".encode(), kind=CSV)

    assert refused.value.metadata["row"] == "1"


async def test_broken_csv_names_its_row(stub: "DeviceServiceAsyncStub") -> None:
    """A missing cell, an open quote and bytes that are no UTF-8 are faults of their row."""
    for line, row in ((b"a", "3"), (b'a,"lamp', "3"), (b"a,\xff", None)):
        with pytest.raises(InvalidArgument) as refused:
            await _import(stub, b"device,device_type\nlamp-1,lamp\n" + line + b"\n", kind=CSV)
        assert row is None or refused.value.metadata["row"] == row
        assert refused.value.metadata["field"] == "content"
    assert await _count(stub) == 0


async def test_an_unknown_district_and_a_missing_format_are_refused(stub: "DeviceServiceAsyncStub") -> None:
    """The first chunk says where to and what the bytes are."""
    with pytest.raises(NotFound):
        await _import(stub, b"", parent="districts/zuid")
    with pytest.raises(InvalidArgument) as refused:
        await _import(stub, b"", kind=pb.ImportDevicesRequest.FORMAT_UNSPECIFIED)
    assert refused.value.metadata["field"] == "format"


async def test_a_repeated_import_gets_the_same_answer(stub: "DeviceServiceAsyncStub") -> None:
    """The same request id answers as the first time, though every device exists meanwhile."""
    content, request_id = _lines([_row("lamp-1")]), str(uuid4())
    first = await _import(stub, content, request_id=request_id)

    assert await _import(stub, content, request_id=request_id) == first
    assert first.created_count == 1


@pytest.mark.timeout(600)
async def test_a_hundred_thousand_devices_are_told_in_lots(
    stub: "DeviceServiceAsyncStub",
    registry: Any,  # noqa: ANN401 - a class of conftest, which cannot be imported by name
) -> None:
    """A large file is one transaction; its events hold up to 1,000 devices each and leave no revision out."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["device", "device_type", "display_name", "longitude", "latitude", "groups", "gateway"])
    rows.writerows([f"cabinet-{number}", "cabinet", "", 4.4, 51.9, "", ""] for number in range(1_000))
    lamps = range(99_000)
    rows.writerows([f"lamp-{n}", "lamp", f"Lamp {n}", 4.5, 51.9, f"s{n % 900}", f"cabinet-{n % 1000}"] for n in lamps)
    async with await psycopg.AsyncConnection.connect(registry.dsn, autocommit=True) as connection:
        await connection.execute("CREATE TABLE told AS SELECT body, revision FROM outbox LIMIT 0")
        await connection.execute(
            "CREATE RULE keep AS ON DELETE TO outbox DO ALSO INSERT INTO told VALUES (old.body, old.revision)"
        )
        started_s = time.monotonic()
        answer = await _import(stub, text.getvalue().encode(), kind=CSV, activate=True)
        imported_s = time.monotonic() - started_s
        seen = 0
        async for lot in stream(stub.WatchDevices, pb.WatchDevicesRequest()):
            seen += len(lot.resources)
            if lot.snapshot_complete:
                break
        print(  # noqa: T201 - a measurement for the reader of the test's output
            f"\n100,000 devices: committed after {imported_s:.1f} s, read by a watch after"
            f" {time.monotonic() - started_s:.1f} s, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB"
        )
        waiting = await connection.execute("SELECT body FROM outbox UNION ALL SELECT body FROM told")
        events = [DevicesChanged.FromString(row[0]) for row in await waiting.fetchall()]

    assert answer.created_count == 100_000
    assert seen == 100_003
    lots = [event for event in events if len(event.resources) > 1]
    told = {resource.device.revision for event in lots for resource in event.resources}
    assert told == set(range(answer.revision - 99_999, answer.revision + 1))
    assert max(len(event.resources) for event in lots) <= 1_000
    assert {event.previous_revision for event in lots} == {
        min(resource.device.revision for resource in event.resources) - 1 for event in lots
    }
