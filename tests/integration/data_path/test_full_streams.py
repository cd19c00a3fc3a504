"""A stream that is full refuses with a reason, on every door, and nothing acknowledged is lost."""

import asyncio
import re
from typing import TYPE_CHECKING, Any

import aiomqtt
import grpc
import httpx2

from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest
from maasloop.bus.columns import build_columns
from maasloop.bus.connection import Bus
from maasloop.bus.subjects import MQTT_STREAM, UplinkKind, mqtt_topic, uplink
from maasloop.testing.buses import core_bus, devices_bus

if TYPE_CHECKING:
    from tests.integration.data_path.conftest import City

SMALL_BYTES = 400_000
ROWS = 1_000


async def _bound(bus: Bus, stream: str, max_bytes: int) -> None:
    config = (await bus.api(f"STREAM.INFO.{stream}"))["config"]
    answer = await bus.api(f"STREAM.UPDATE.{stream}", {**config, "max_bytes": max_bytes})
    assert "error" not in answer, answer


def _request(city: "City", first_us: int) -> RecordObservationsRequest:
    columns = build_columns(
        ["station"], ["pm25"], [0] * ROWS, [0] * ROWS, range(first_us, first_us + ROWS), [1.0] * ROWS
    )
    return RecordObservationsRequest(parent=city.parent, observations=columns.message())


async def test_a_writer_that_is_down_until_the_stream_is_full_loses_nothing(city: "City") -> None:
    """The doors refuse with a reason while it is full; when the writer is back everything acknowledged becomes a row."""
    acknowledged: set[tuple[str, str, int]] = set()
    first_us = city.now_us() - 3_600_000_000
    city.stack.services["timeseries"].kill9()
    async with core_bus(city.stack) as bus, city.ingest() as ingest:
        await _bound(bus, "OBSERVATIONS", SMALL_BYTES)
        refused = None
        for number in range(100):
            request = _request(city, first_us + number * ROWS)
            try:
                answer = await ingest.RecordObservations(request)
            except grpc.aio.AioRpcError as error:
                refused = error
                break
            assert answer.accepted_count == ROWS
            acknowledged.update(("station", "pm25", first_us + number * ROWS + row) for row in range(ROWS))
        http = await _post(city, first_us - 1)
        await _bound(bus, "OBSERVATIONS", 1024**3)

    assert refused is not None
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert re.search("full|no room", refused.details() or "")
    assert http.status_code == 429
    assert http.json()["reason"] in {"STREAM_FULL", "SHED"}
    assert int(http.headers["retry-after"]) > 0
    city.stack.services["timeseries"].start()
    await city.stack.wait_ready("timeseries")
    await city.until_stored(*acknowledged)
    await city.settled()


async def _post(city: "City", time_us: int) -> Any:  # noqa: ANN401 - a response of the client
    # Pad the reading so that it does not find the last few bytes of room.
    readings: list[dict[str, object]] = [
        {"device": "station", "property": "signal-state", "time": time_us - number, "state": "r" * 200}
        for number in range(500)
    ]
    url = f"{city.stack.http_url}/v1/observations?district={city.district}"
    async with httpx2.AsyncClient(verify=city.stack.trust, headers=city.stack.http_headers) as client:
        return await client.post(url, content=city.payload(*readings), headers={"content-type": "application/json"})


async def test_mqtt_withholds_its_acknowledgement_when_nothing_more_can_be_kept(city: "City") -> None:
    """With both streams full a publish gets no PUBACK; when there is room again the door is open by itself."""
    topic = mqtt_topic(uplink(city.district, "station", UplinkKind.OBSERVATIONS_JSON))
    acknowledged: list[int] = []
    first_us = city.now_us() - 3_600_000_000
    async with core_bus(city.stack) as bus, devices_bus(city.stack) as behind_door:
        await _bound(bus, "OBSERVATIONS", 1)
        await _bound(behind_door, MQTT_STREAM, 20_000)
        withheld = False
        for number in range(1_000):
            reading: dict[str, object] = {"property": "pm25", "time": first_us + number, "value": 1}
            try:
                async with aiomqtt.Client(**city.stack.mqtt.options(), identifier="station", timeout=2.0) as client:
                    await client.publish(topic, city.payload(reading), qos=1, timeout=2.0)
            except aiomqtt.MqttError:
                withheld = True
                break
            acknowledged.append(first_us + number)
        await _bound(bus, "OBSERVATIONS", 1024**3)
        await _bound(behind_door, MQTT_STREAM, 1024**3)

    assert withheld
    assert acknowledged
    await asyncio.sleep(0)
    await city.until_stored(*(("station", "pm25", time_us) for time_us in acknowledged))
    await city.settled()
