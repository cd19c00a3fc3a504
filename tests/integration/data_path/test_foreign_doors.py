"""What other systems send, and history, become rows under our names, each once."""

import gzip
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiomqtt
import cbor2
import grpc
import httpx2
import pytest

from maasloop.api.device.v1.device_pb2 import (
    CayenneLpp,
    CayenneLppMapping,
    Device,
    DeviceType,
    UplinkCodec,
)
from maasloop.api.device.v1.device_service_pb2 import CreateDeviceRequest, CreateDeviceTypeRequest
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.api.observation.v1.chirpstack_pb2 import ChirpstackDeviceInfo, ChirpstackUplink
from maasloop.api.observation.v1.ingest_service_pb2 import (
    ImportObservationsRequest,
    ImportObservationsResponse,
    ListQuarantineRequest,
    RecordObservationsRequest,
    ReplayQuarantineRequest,
)
from maasloop.bus.subjects import UplinkKind, mqtt_topic, uplink
from maasloop.core.clock import to_us
from maasloop.rpc.times import timestamp_from_us

if TYPE_CHECKING:
    from tests.integration.data_path.conftest import City

EUI = "70b3d57ed0051234"
TEMPERATURE = CayenneLppMapping(channel=1, type=103, observed_property="observedProperties/temperature")
WARM = bytes.fromhex("01670110")
"""27.2 degrees on channel 1."""


async def _register(city: "City", name: str, *external_ids: str) -> None:
    async with city.channel("device-registry") as channel:
        registry: Any = DeviceServiceStub(channel)
        kind = DeviceType(
            display_name="Probe",
            observed_properties=["observedProperties/temperature", "observedProperties/pm25"],
            uplink_codec=UplinkCodec(cayenne_lpp=CayenneLpp(mappings=[TEMPERATURE])),
        )
        with suppress(grpc.aio.AioRpcError):  # An earlier test made the type.
            await registry.CreateDeviceType(CreateDeviceTypeRequest(device_type_id="probe", device_type=kind))
        device = Device(device_type="deviceTypes/probe", external_ids=external_ids)
        await registry.CreateDevice(
            CreateDeviceRequest(parent=city.parent, device_id=name, device=device, activate=True)
        )


def _topic(eui: str) -> str:
    return f"application/0f0b2c1e-7bb4-4a0d-9c0a-5c1b2c3d4e5f/device/{eui}/event/up"


async def test_lorawan_uplinks_become_rows_in_both_codings(shared_city: "City") -> None:
    """JSON and protobuf, with the gateway's time; an EUI that nobody has lies in quarantine until somebody has it."""
    await _register(shared_city, "probe-1", f"lorawan:{EUI}")
    second_us = shared_city.now_us() // 1_000_000 * 1_000_000
    moment = datetime.fromtimestamp(second_us / 1e6, UTC)
    event = {
        "time": moment.isoformat().replace("+00:00", "Z"),
        "deviceInfo": {"devEui": EUI},
        "fCnt": 7,
        "fPort": 1,
        "data": "AWcBEA==",
    }
    stranger = {**event, "deviceInfo": {"devEui": "00000000000000aa"}}
    packed = ChirpstackUplink(
        receipt_time=timestamp_from_us(second_us + 1_000_000),
        device_info=ChirpstackDeviceInfo(dev_eui=EUI),
        f_cnt=8,
        f_port=1,
        data=WARM,
    )
    keys = {("probe-1", "temperature", second_us), ("probe-1", "temperature", second_us + 1_000_000)}
    async with aiomqtt.Client(**shared_city.stack.mqtt.options(), identifier="chirpstack") as client:

        async def stored() -> bool:
            # Again and again, because ingest hears of the device only a moment after it was registered.
            await client.publish(_topic(EUI), json.dumps(event), qos=1)
            await client.publish(_topic(EUI), packed.SerializeToString(), qos=1)
            return keys <= shared_city.stored()

        await shared_city.until(stored)
        await client.publish(_topic("00000000000000aa"), json.dumps(stranger), qos=1)

    async with shared_city.ingest() as ingest:

        async def refused() -> list[Any]:
            found = await ingest.ListQuarantine(ListQuarantineRequest(reason="DEVICE_UNKNOWN"))
            return [entry for entry in found.entries if "00000000000000aa" in entry.detail]

        (entry,) = await shared_city.until(refused)
        await _register(shared_city, "probe-2", "lorawan:00000000000000aa")

        async def replayed() -> int:
            answer = await ingest.ReplayQuarantine(ReplayQuarantineRequest(names=[entry.name]))
            return int(answer.accepted_count)

        assert await shared_city.until(replayed) == 1
    await shared_city.until_stored(("probe-2", "temperature", second_us))
    await shared_city.settled()


async def test_a_push_of_sensor_community_becomes_rows(shared_city: "City") -> None:
    """The header says which sensor it is; a sensor that nobody knows is refused with the reason."""
    await _register(shared_city, "balcony", "sensor-community:esp8266-4711")
    values = [{"value_type": "SDS_P2", "value": "7.25"}, {"value_type": "BME280_temperature", "value": "11.5"}]
    push = {"software_version": "NRZ-2020-133", "sensordatavalues": values}
    url = f"{shared_city.stack.http_url}/v1/sensor-community"
    async with httpx2.AsyncClient(verify=shared_city.stack.trust, headers=shared_city.stack.http_headers) as client:

        async def accepted() -> int:
            answer = await client.post(url, json=push, headers={"X-Sensor": "esp8266-4711"})
            return int(answer.json().get("accepted_count", 0))

        assert await shared_city.until(accepted) == 2
        unknown = await client.post(url, json=push, headers={"X-Sensor": "esp8266-4712"})
        nameless = await client.post(url, json=push)

    assert (unknown.status_code, unknown.json()["reason"]) == (400, "DEVICE_UNKNOWN")
    assert nameless.status_code == 400
    await shared_city.settled()
    found = {(device, observed) for device, observed, _ in shared_city.stored() if device == "balcony"}
    assert found == {("balcony", "pm25"), ("balcony", "temperature")}


async def test_cbor_and_csv_are_heard(shared_city: "City") -> None:
    """SenML in CBOR over MQTT and HTTP, CSV over HTTP, each in the unit of the property."""
    time_us = shared_city.now_us() // 1_000_000 * 1_000_000
    records: list[dict[int, Any]] = [{-2: "station/", -3: time_us // 1_000_000, 0: "temperature", 1: "K", 2: 300.0}]
    address = f"{shared_city.stack.http_url}/v1/observations?district=noord"
    async with aiomqtt.Client(**shared_city.stack.mqtt.options(), identifier="station") as client:
        topic = mqtt_topic(uplink("noord", "station", UplinkKind.OBSERVATIONS_SENML_CBOR))
        await client.publish(topic, cbor2.dumps(records), qos=1)
    records[0][-3] += 1
    lines = f"time,device,property,value\n{time_us + 2_000_000},station,temperature,26.85\nx,station,pm25,1\n"
    async with httpx2.AsyncClient(verify=shared_city.stack.trust, headers=shared_city.stack.http_headers) as client:
        senml = await client.post(
            address, content=cbor2.dumps(records), headers={"content-type": "application/senml+cbor"}
        )
        csv = await client.post(address, content=lines, headers={"content-type": "text/csv; charset=utf-8"})

    assert senml.json()["accepted_count"] == 1
    assert (csv.json()["accepted_count"], csv.json()["refusals"][0]["index"]) == (1, 1)
    times = [time_us, time_us + 1_000_000, time_us + 2_000_000]
    await shared_city.until_stored(*(("station", "temperature", each) for each in times))
    values = shared_city.rows(
        "SELECT value FROM timeseries.numbers AS r JOIN timeseries.series AS s ON s.id = r.series"
        " WHERE device = 'station' AND observed_property = 'temperature'"
    )
    assert [value for (value,) in values] == [pytest.approx(26.85)] * 3


async def test_history_is_imported_in_chunks(shared_city: "City") -> None:
    """Readings of a year ago become rows; a line older than its retention, and one that is none, are named."""
    year_ago = datetime.now(UTC).replace(microsecond=0) - timedelta(days=365)
    old = [f"{(year_ago + timedelta(seconds=at)).isoformat()},station,pm25,{at}" for at in range(100)]
    bad = [f"{year_ago.isoformat()},lamp,presence,true", "yesterday,station,pm25,1"]
    first = "\n".join(["time,device,property,value", *old[:50], ""]).encode()
    second = "\n".join([*bad, *old[50:], ""]).encode()
    async with shared_city.ingest() as ingest:
        answers = await _imported(
            ingest,
            ImportObservationsRequest(parent=shared_city.parent, content=first, line=1),
            ImportObservationsRequest(parent=shared_city.parent, content=second, offset=len(first), line=52),
        )
        (again,) = await _imported(
            ingest,
            ImportObservationsRequest(
                parent=shared_city.parent,
                content=second,
                offset=len(first),
                line=52,
                header="time,device,property,value",
            ),
        )

    assert [(each.next_offset, each.accepted_count) for each in answers] == [
        (len(first), 50),
        (len(first) + len(second), 50),
    ]
    assert [(each.line, each.reason) for each in answers[1].refusals] == [
        (52, "TIME_TOO_OLD"),
        (53, "PAYLOAD_UNDECODABLE"),
    ]
    assert again.accepted_count == 50
    start_us = to_us(year_ago)
    await shared_city.until_stored(*(("station", "pm25", start_us + at * 1_000_000) for at in range(100)))
    await shared_city.settled()


async def _imported(ingest: Any, *requests: ImportObservationsRequest) -> list[ImportObservationsResponse]:  # noqa: ANN401 - a stub
    return [answer async for answer in ingest.ImportObservations(iter(requests), timeout=20)]


async def test_compressed_bombs_are_refused(shared_city: "City") -> None:
    """A request that unpacks beyond the limit is refused by the gRPC door; the HTTP door unpacks nothing."""
    bomb = RecordObservationsRequest(parent=shared_city.parent, request_id="0" * 64 * 1024 * 1024)
    async with shared_city.ingest() as ingest:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ingest.RecordObservations(bomb, compression=grpc.Compression.Gzip, timeout=20)
    url = f"{shared_city.stack.http_url}/v1/observations?district=noord"
    packed = gzip.compress(b'{"observations": [' + b" " * 16 * 1024 * 1024 + b"]}")
    async with httpx2.AsyncClient(verify=shared_city.stack.trust, headers=shared_city.stack.http_headers) as client:
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        answer = await client.post(url, content=packed, headers=headers)

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert answer.status_code == 415
