"""Each process of the data path is killed under load: what was acknowledged is a row, once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiomqtt
import grpc
import pytest

from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest
from maasloop.bus.columns import build_columns
from maasloop.bus.subjects import UplinkKind, mqtt_topic, uplink

if TYPE_CHECKING:
    from tests.integration.data_path.conftest import City

# What was on a link that died comes again after half a minute.
pytestmark = pytest.mark.timeout(120)

READINGS_A_BATCH = 20
LOAD_S = 1.0
"""Load before and after a kill."""
BACK_TIMEOUT_S = 60.0


class Ledger:
    """What a client was told: keys of readings whose acknowledgement arrived."""

    def __init__(self, city: "City", device: str) -> None:
        """Send as a device, one microsecond after the other."""
        self.acknowledged: set[tuple[str, str, int]] = set()
        self._city = city
        self._device = device
        self._next_us = city.now_us() - 3_600_000_000

    def keys(self, count: int) -> list[tuple[str, str, int]]:
        """Return keys that nobody used."""
        first, self._next_us = self._next_us, self._next_us + count
        return [(self._device, "pm25", time_us) for time_us in range(first, first + count)]

    async def send_by_grpc(self) -> None:
        """Send one batch, and again until it is acknowledged."""
        keys = self.keys(READINGS_A_BATCH)
        columns = build_columns(
            [self._device],
            ["pm25"],
            [0] * len(keys),
            [0] * len(keys),
            [time_us for _, _, time_us in keys],
            [1.0] * len(keys),
        )
        request = RecordObservationsRequest(parent=self._city.parent, observations=columns.message())

        async def accepted() -> bool:
            try:
                async with self._city.ingest() as ingest:
                    answer = await ingest.RecordObservations(request, timeout=5.0)
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.accepted_count == len(keys))

        await self._city.until(accepted, timeout_s=BACK_TIMEOUT_S)
        self.acknowledged.update(keys)

    async def send_by_mqtt(self, client: aiomqtt.Client) -> None:
        """Send one reading; it counts when its PUBACK arrived, and is not sent again."""
        ((_, _, time_us),) = keys = self.keys(1)
        topic = mqtt_topic(uplink(self._city.district, self._device, UplinkKind.OBSERVATIONS_JSON))
        reading = {"property": "pm25", "time": time_us, "value": 1.0}
        await client.publish(topic, self._city.payload(reading), qos=1, timeout=2.0)
        self.acknowledged.update(keys)


@asynccontextmanager
async def _load(send: Callable[[], object]) -> AsyncIterator[None]:
    """Send without pause around a block."""
    stop = asyncio.Event()

    async def work() -> None:
        while not stop.is_set():
            await send()  # type: ignore[misc]  # what is given returns something to await

    async with asyncio.TaskGroup() as group:
        group.create_task(work())
        await asyncio.sleep(LOAD_S)
        yield
        await asyncio.sleep(LOAD_S)
        stop.set()


async def _all_are_rows(city: "City", ledger: Ledger) -> None:
    assert ledger.acknowledged
    await city.until_stored(*ledger.acknowledged)
    await city.settled()


@pytest.mark.parametrize("service", ["ingest", "timeseries", "device-registry"])
async def test_a_killed_service_loses_nothing(shared_city: "City", service: str) -> None:
    """Kill -9 of a service under load: every acknowledged reading is a row, and no row is there twice."""
    ledger = Ledger(shared_city, "station")
    async with _load(ledger.send_by_grpc):
        shared_city.stack.services[service].kill9()
        shared_city.stack.services[service].start()
        await shared_city.stack.wait_ready(service)

    await _all_are_rows(shared_city, ledger)


async def test_a_killed_database_loses_nothing(shared_city: "City") -> None:
    """Kill -9 of PostgreSQL under load: ingest goes on, and the writer catches up."""
    ledger = Ledger(shared_city, "station")
    async with _load(ledger.send_by_grpc):
        shared_city.stack.postgres.kill9()
        await asyncio.sleep(LOAD_S)
        shared_city.stack.postgres.start()

    await _all_are_rows(shared_city, ledger)


async def test_a_killed_broker_keeps_every_puback(shared_city: "City") -> None:
    """Kill -9 of nats-server under MQTT QoS 1: every reading whose PUBACK arrived is a row."""
    ledger = Ledger(shared_city, "station")
    for round_number in range(3):
        async with aiomqtt.Client(
            **shared_city.stack.mqtt.options(), identifier=f"station-{round_number}", timeout=2.0
        ) as client:
            sending = [asyncio.create_task(_send_until_broken(ledger, client)) for _ in range(20)]
            await asyncio.sleep(LOAD_S)
            shared_city.stack.nats.kill9()
            await asyncio.gather(*sending)
            # The client keeps why it lost its broker until somebody asks, and complains at the end if nobody did.
            with pytest.raises(aiomqtt.MqttError):
                await anext(client.messages)
        shared_city.stack.nats.start()

    await _all_are_rows(shared_city, ledger)


async def _send_until_broken(ledger: Ledger, client: aiomqtt.Client) -> None:
    while True:
        try:
            await ledger.send_by_mqtt(client)
        except aiomqtt.MqttError:
            return
