"""The writers of a city are divided into more partitions and fewer again under load, and one of them is killed."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from maasloop.api.device.v1.device_pb2 import Device, District
from maasloop.api.device.v1.device_service_pb2 import CreateDeviceRequest, CreateDistrictRequest
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest
from maasloop.api.observation.v1.ingest_service_pb2_grpc import IngestServiceStub
from maasloop.bus.columns import build_columns
from maasloop.stack.local import service_ready
from maasloop.stack.ports import LOOPBACK, free_ports
from maasloop.stack.process import ManagedProcess
from maasloop.stack.services import module_name, service_environment, setting_name

if TYPE_CHECKING:
    from tests.integration.data_path.conftest import City

DISTRICTS = [f"part-{number}" for number in range(8)]
READINGS_A_BATCH = 10
PAUSE_S = 0.1
LOAD_S = 2.0
READY_TIMEOUT_S = 60.0
TIMESERIES = "timeseries"
ROLLUPS = """
    SELECT count(*) FROM (
        SELECT series, date_bin('1 minute', time, '2000-01-03 00:00:00+00') AS time, count(*) AS count, sum(value) AS sum
        FROM timeseries.numbers_2y GROUP BY 1, 2
    ) AS r FULL JOIN timeseries.minutes_2y AS m USING (series, time)
    WHERE r.count IS DISTINCT FROM m.count OR abs(r.sum - m.sum) > 1e-6 * abs(r.sum)
"""


@dataclass
class Writers:
    """The processes of timeseries, by partition."""

    city: "City"
    running: dict[int, ManagedProcess] = field(default_factory=dict)
    health: dict[int, str] = field(default_factory=dict)

    def start(self, partition: int, partitions: int) -> None:
        """Start a process; the first answers where the city asks."""
        stack = self.city.stack
        grpc_port, public_port, health_port = free_ports(3)
        first = stack.addresses[TIMESERIES]
        self.health[partition] = f"{LOOPBACK}:{health_port}"
        settings = {
            "nats_url": stack.nats.url,
            "postgres_dsn": stack.service_dsns[TIMESERIES],
            "device_registry_address": stack.addresses["device-registry"].grpc,
            "consent_address": stack.addresses["consent"].grpc,
            "grpc_address": first.grpc if partition == 0 else f"{LOOPBACK}:{grpc_port}",
            "public_grpc_address": f"{LOOPBACK}:{public_port}",
            "health_address": self.health[partition],
            "partitions": str(partitions),
            "partition": str(partition),
        }
        environment = service_environment(TIMESERIES, stack.neighbours) | {
            setting_name(TIMESERIES, name): value for name, value in settings.items()
        }
        process = ManagedProcess(
            f"{TIMESERIES}-{partition}",
            [sys.executable, "-m", module_name(TIMESERIES)],
            log_path=stack.directory.logs / f"{TIMESERIES}-{partition}-of-{partitions}.log",
            environment=os.environ | environment,
        )
        process.start()
        self.running[partition] = process

    async def ready(self, partition: int) -> None:
        """Return when a process writes."""

        async def ready() -> bool:
            return await asyncio.to_thread(service_ready, self.health[partition])

        await self.city.until(ready, timeout_s=READY_TIMEOUT_S)

    async def stop(self, partition: int) -> None:
        """Let a process finish what it has in hand."""
        await asyncio.to_thread(self.running.pop(partition).stop, 20.0)

    def kill(self, partition: int) -> None:
        """Kill a process as a crash does."""
        self.running.pop(partition).kill9()


@pytest.fixture(name="writers")
def _writers(city: "City") -> Iterator[Writers]:
    writers = Writers(city)
    yield writers
    for partition in list(writers.running):
        writers.kill(partition)


async def _build(city: "City") -> None:
    async with city.channel("device-registry") as channel:
        registry: Any = DeviceServiceStub(channel)
        for district in DISTRICTS:
            await registry.CreateDistrict(
                CreateDistrictRequest(district_id=district, district=District(display_name=district))
            )
            device = Device(device_type="deviceTypes/thing")
            request = CreateDeviceRequest(
                parent=f"districts/{district}", device_id=f"station-{district}", device=device, activate=True
            )
            await registry.CreateDevice(request)


@dataclass
class Ledger:
    """What a client was told of one district: keys of readings whose acknowledgement arrived."""

    city: "City"
    district: str
    next_us: int
    acknowledged: set[tuple[str, str, int]] = field(default_factory=set)

    async def send(self, ingest: Any) -> None:  # noqa: ANN401 - generated stubs are not typed
        """Send one batch, and again until it is acknowledged; its readings are 200 ms apart."""
        device, first_us = f"station-{self.district}", self.next_us
        self.next_us += READINGS_A_BATCH * 200_000
        times_us = list(range(first_us, self.next_us, 200_000))
        places = [0] * len(times_us)
        columns = build_columns(
            [device], ["pm25"], places, places, times_us, [float(n % 97) for n in range(len(places))]
        )
        request = RecordObservationsRequest(parent=f"districts/{self.district}", observations=columns.message())

        async def accepted() -> bool:
            try:
                answer = await ingest.RecordObservations(request, timeout=5.0)
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.accepted_count == len(times_us))

        await self.city.until(accepted)
        self.acknowledged.update((device, "pm25", time_us) for time_us in times_us)


@asynccontextmanager
async def _load(city: "City", ledgers: list[Ledger]) -> AsyncIterator[None]:
    """Send for all districts without pause around a block."""
    stop = asyncio.Event()
    async with city.channel("ingest") as channel, asyncio.TaskGroup() as group:
        ingest = IngestServiceStub(channel)

        async def work(ledger: Ledger) -> None:
            while not stop.is_set():
                await ledger.send(ingest)
                await asyncio.sleep(PAUSE_S)

        for ledger in ledgers:
            group.create_task(work(ledger))
        try:
            yield
        finally:
            stop.set()


@pytest.mark.timeout(300)
async def test_partitions_come_and_go_under_load(city: "City", writers: Writers) -> None:
    """1 → 3 → 2 partitions in rolling updates, one process killed -9: each acknowledged reading is a row, once."""
    await _build(city)
    start_us = city.now_us() - 3 * 3_600_000_000
    ledgers = [Ledger(city, district, start_us) for district in DISTRICTS]
    async with _load(city, ledgers):
        await asyncio.sleep(LOAD_S)
        # As a rolling update goes: new pods first, the old ones from the last to the first.
        writers.start(2, 3)
        writers.start(1, 3)
        await writers.ready(2)
        await writers.ready(1)
        await asyncio.to_thread(city.stack.services[TIMESERIES].stop, 20.0)
        writers.start(0, 3)
        await writers.ready(0)
        await asyncio.sleep(LOAD_S)
        writers.kill(1)
        await asyncio.sleep(LOAD_S)
        writers.start(1, 3)
        await writers.ready(1)
        await asyncio.sleep(LOAD_S)
        await writers.stop(2)
        for partition in (1, 0):
            await writers.stop(partition)
            writers.start(partition, 2)
            await writers.ready(partition)
        await asyncio.sleep(LOAD_S)
    acknowledged = set[tuple[str, str, int]]().union(*(ledger.acknowledged for ledger in ledgers))
    balance = await city.settled()
    for partition in (1, 0):
        await writers.stop(partition)
    stored = city.stored()

    assert acknowledged <= stored
    assert len(acknowledged) > 8 * READINGS_A_BATCH
    assert balance.stored_count == balance.series_stored_count == len(stored)
    assert city.rows(ROLLUPS) == [(0,)]
    assert city.rows("SELECT partitions FROM timeseries.partitioning") == [(2,)]
