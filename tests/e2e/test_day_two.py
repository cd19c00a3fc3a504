"""The pages on operating a platform hold: their blocks are run, line by line, against running stacks."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from tests.e2e import pages

from maasloop.api.device.v1.device_pb2 import Device
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest, RecordObservationsResponse
from maasloop.api.observation.v1.ingest_service_pb2_grpc import IngestServiceStub
from maasloop.stack.backup import Manifest
from maasloop.stack.local import LocalStack
from maasloop.testing.providers import scratch_directory
from maasloop.twin.devices.readings import Reading, to_columns

if TYPE_CHECKING:
    from tests.e2e.conftest import Town

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "operate"
LINE_TIMEOUT_S = 150
READINGS = 50
CALLERS = 4
BATCH = 5_000
SMALL = 0.001
"""Scale of streams that a few large batches fill."""

type Run = Callable[[str], str]
type Record = Callable[[RecordObservationsRequest], Awaitable[RecordObservationsResponse]]


def _blocks(page: str) -> list[list[str]]:
    return pages.blocks(PAGES / page)


def _shell(root: Path, names: dict[str, str]) -> Run:
    """Return what runs a line of a page for the stack of a directory, with the page's names replaced."""
    variables = pages.environment(root)

    def run(line: str) -> str:
        for name, value in names.items():
            line = re.sub(rf"\b{name}\b", value, line)
        return pages.run_line(line, variables, folder=Path.cwd(), timeout_s=LINE_TIMEOUT_S)

    return run


@contextmanager
def _stopped_at_the_end(run: Run) -> Iterator[None]:
    try:
        yield
    finally:
        run("maasloop down")


async def _lived_in(town: "Town") -> None:
    """Give the town devices, readings that are rows, a command and two consents of which one is withdrawn."""
    devices = [
        Device(name="lamp-1", device_type="deviceTypes/streetlight", config=_lamp()),
        Device(name="dusk", device_type="deviceTypes/light-sensor"),
    ]
    await town.add_devices(devices, Reading("dusk", "illuminance", town.now_us(), 2.0))
    at_us = town.now_us()
    await town.record(*(Reading("dusk", "illuminance", at_us + number, float(number)) for number in range(READINGS)))
    await town.issue("lamp-1", 50.0)
    await town.grant("anna", "bike-air")
    await town.withdraw(await town.grant("bert", "bike-noise"))


def _lamp() -> Struct:
    config = Struct()
    config.update(
        {"installed_power_w": 36.0, "standby_power_w": 0.8, "class_level_percent": 80.0, "floor_percent": 30.0}
    )
    return config


def _credentials(stack: LocalStack) -> str:
    return (stack.directory.secrets / "nats" / "users" / "ingest.creds").read_text(encoding="ascii")


def _told(run: Run) -> dict[str, Any]:
    """Return what a terminal tells of a stack."""
    return {
        "devices": json.loads(run("maasloop devices list noord --json")),
        "commands": sorted(row["name"] for row in json.loads(run("maasloop commands list noord --json"))),
        "balance": {term: json.loads(run("maasloop account --json"))[term] for term in ("stored", "balanced", "lost")},
    }


@pytest.mark.timeout(600)
async def test_a_backup_is_restored_as_the_page_says(town: "Town", shared_stack: LocalStack, tmp_path: Path) -> None:
    """Every table and stream comes back with as much as it had, and the services go on from there."""
    await _lived_in(town)

    async def at_rest() -> bool:
        return bool(json.loads(taking("maasloop account --json"))["at_rest"])

    keys = tmp_path / "keys"
    names = {"OLD": str(shared_stack.directory.root), "KEYS": str(keys), "BACKUP": str(tmp_path / "backup")}
    taking = _shell(shared_stack.directory.root, names)
    await town.until(at_rest)
    before = _told(taking)
    back_up, restore = _blocks("back-up-and-restore.md")
    for line in back_up:
        taking(line)

    with scratch_directory() as new:
        restoring = _shell(new, {**names, "NEW": str(new)})
        with _stopped_at_the_end(restoring):
            printed = "".join(restoring(line) for line in restore)
            after = _told(restoring)

    assert before["balance"]["stored"] > READINGS
    assert before["commands"]
    assert after == before
    manifest = Manifest.read(tmp_path / "backup")
    counts = len(manifest.tables) + len(manifest.streams)
    assert f"{counts} of {counts} counts are equal" in printed
    assert sum(rows for table, rows in manifest.tables.items() if table.startswith("consent.")) >= 2


@pytest.mark.timeout(180)
async def test_a_district_is_added_as_the_page_says(town: "Town", shared_stack: LocalStack, tmp_path: Path) -> None:
    """The files and lines of the page give a district whose device reports at once."""
    page = (PAGES / "add-a-district.md").read_text(encoding="utf-8")
    district, devices = (
        re.search(r"^ +(\{.*\})$", page, re.MULTILINE),
        re.search(r"^ +device,.*\n +.*$", page, re.MULTILINE),
    )
    assert district is not None
    assert devices is not None
    files = {"district.json": district[1], "devices.csv": re.sub(r"^ +", "", devices[0], flags=re.MULTILINE)}
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n", encoding="utf-8")
    run = _shell(shared_stack.directory.root, {re.escape(name): str(tmp_path / name) for name in files})
    (block,) = _blocks("add-a-district.md")

    printed = [run(line) for line in block]

    assert "air-7" in printed[-1]

    async def shown() -> str:
        rows = json.loads(run("maasloop observations latest zuid --json"))
        return " ".join(str(row["device"]) for row in rows)

    async def accepted() -> bool:
        columns = to_columns([Reading("air-7", "pm25", town.now_us(), 4.0)])
        async with town.channel("ingest") as channel:
            ingest: Any = IngestServiceStub(channel)
            request = RecordObservationsRequest(parent="districts/zuid", observations=columns)
            return bool((await ingest.RecordObservations(request)).accepted_count)

    await town.until(accepted)
    assert "air-7" in await town.until(shown)


@pytest.mark.timeout(400)
async def test_secrets_are_rotated_under_load_as_the_page_says(town: "Town", shared_stack: LocalStack) -> None:
    """No call fails while each is replaced, and every acknowledged reading is a row."""
    await town.add_devices(
        [Device(name="night", device_type="deviceTypes/light-sensor")],
        Reading("night", "illuminance", town.now_us(), 1.0),
    )
    run = _shell(shared_stack.directory.root, {})
    (block,) = _blocks("rotate-secrets.md")
    sent: set[int] = set()
    ending = asyncio.Event()

    async def load(record: Record) -> None:
        while not ending.is_set():
            at_us = town.now_us()
            columns = to_columns([Reading("night", "illuminance", at_us, 1.0)])
            answer = await record(RecordObservationsRequest(parent=town.parent, observations=columns))
            assert answer.accepted_count == 1, answer
            sent.add(at_us)

    async def more(count: int) -> None:
        wanted = len(sent) + count
        while len(sent) < wanted and not loads[0].done():  # noqa: ASYNC110 - answers of another process
            await asyncio.sleep(0.05)

    before = _credentials(shared_stack)
    async with town.channel("ingest") as channel:
        ingest: Any = IngestServiceStub(channel)
        loads = [asyncio.create_task(load(ingest.RecordObservations)) for _ in range(CALLERS)]
        try:
            for line in block:
                await more(20)
                await asyncio.to_thread(run, line)
            await more(50)
        finally:
            ending.set()
            ended = await asyncio.gather(*loads, return_exceptions=True)

    assert ended == [None] * CALLERS
    assert _credentials(shared_stack) != before

    async def stored() -> bool:
        found = town.rows(
            "SELECT extract(epoch FROM n.time) * 1000000 FROM timeseries.numbers n JOIN timeseries.series s"
            " ON s.id = n.series WHERE s.device = 'night'"
        )
        return sent <= {round(at_us) for (at_us,) in found}

    await town.until(stored)


@pytest.mark.timeout(240)
async def test_a_full_stream_gets_room_as_the_page_says(town: "Town", shared_stack: LocalStack) -> None:
    """Where a stream is full the door refuses with a reason, and takes readings again when the page was followed."""
    await town.add_devices(
        [Device(name="many", device_type="deviceTypes/light-sensor")],
        Reading("many", "illuminance", town.now_us(), 1.0),
    )
    run = _shell(shared_stack.directory.root, {"N": "1"})

    async def taken() -> str:
        at_us = town.now_us()
        columns = to_columns([Reading("many", "illuminance", at_us - number, 1.0) for number in range(BATCH)])
        async with town.channel("ingest") as channel:
            ingest: Any = IngestServiceStub(channel)
            try:
                await ingest.RecordObservations(RecordObservationsRequest(parent=town.parent, observations=columns))
            except grpc.aio.AioRpcError as error:
                return str(error.details())
        return ""

    async def has_room() -> bool:
        # The door asks once a second how full the stream is.
        return not await taken()

    run(f"maasloop streams ensure --scale {SMALL}")
    refusal = await town.until(taken)
    (block,) = _blocks("disk-full.md")
    printed = [await asyncio.to_thread(run, line) for line in block]

    assert "full" in refusal or "no room" in refusal
    assert "OBSERVATIONS" in printed[0]
    await town.until(has_room)
