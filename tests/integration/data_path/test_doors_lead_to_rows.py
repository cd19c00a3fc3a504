"""Every door leads to rows, and says what became of each reading."""

import asyncio
import json
from typing import TYPE_CHECKING
from uuid import uuid4

import aiomqtt
import grpc
import httpx2
import pytest

from maasloop.api.observation.v1.ingest_service_pb2 import (
    ListQuarantineRequest,
    RecordObservationsRequest,
    RecordObservationsResponse,
    ReplayQuarantineRequest,
)
from maasloop.api.observation.v1.observation_pb2 import QuarantineEntry
from maasloop.api.observation.v1.series_service_pb2 import ListLatestObservationsRequest, SeriesSelection
from maasloop.bus.columns import build_columns
from maasloop.bus.subjects import INGEST_RECORD, DownlinkKind, UplinkKind, downlink, mqtt_topic, uplink
from maasloop.core.errors import InvalidArgument
from maasloop.testing.buses import core_bus

if TYPE_CHECKING:
    from tests.integration.data_path.conftest import City

TIMEOUT_S = 50.0


def _request(city: "City", time_us: int, *values: float, device: str = "station") -> RecordObservationsRequest:
    columns = build_columns(
        [device], ["pm25"], [0] * len(values), [0] * len(values), range(time_us, time_us + len(values)), values
    )
    return RecordObservationsRequest(parent=city.parent, observations=columns.message(), request_id=str(uuid4()))


async def test_grpc_keeps_the_good_and_names_the_bad(shared_city: "City") -> None:
    """Good readings of a batch become rows; each bad one is answered by index and reason."""
    time_us = shared_city.now_us()
    async with shared_city.ingest() as ingest:
        answer = await ingest.RecordObservations(_request(shared_city, time_us, 1.0, float("nan"), 99_999.0, 4.0))

    assert answer.accepted_count == 2
    assert [(each.index, each.reason) for each in answer.refusals] == [
        (1, "VALUE_NOT_A_NUMBER"),
        (2, "VALUE_OUT_OF_RANGE"),
    ]
    await shared_city.until_stored(("station", "pm25", time_us), ("station", "pm25", time_us + 3))
    await shared_city.settled()


async def test_a_stream_answers_in_order_and_at_once(shared_city: "City") -> None:
    """A bidirectional stream answers each batch before the next is sent, under the request's own id."""
    time_us = shared_city.now_us()
    async with shared_city.ingest() as ingest:
        call = ingest.StreamObservations()
        for number in range(5):
            request = _request(shared_city, time_us + number, float(number))
            await call.write(request)
            answer = await call.read()

            assert (answer.accepted_count, answer.request_id) == (1, request.request_id)
        await call.done_writing()

        assert await call.read() == grpc.aio.EOF
    await shared_city.until_stored(*(("station", "pm25", time_us + number) for number in range(5)))


async def test_nats_answers_after_the_readings_are_stored(shared_city: "City") -> None:
    """A request over NATS is answered like one over gRPC, and one that is wrong with its reason."""
    time_us = shared_city.now_us()
    async with core_bus(shared_city.stack) as bus:
        body = await bus.ask(INGEST_RECORD, _request(shared_city, time_us, 5.0).SerializeToString(), timeout_s=5.0)
        with pytest.raises(InvalidArgument, match=r"districts/\{id\}"):
            await bus.ask(INGEST_RECORD, RecordObservationsRequest().SerializeToString(), timeout_s=5.0)

    assert RecordObservationsResponse.FromString(body).accepted_count == 1
    await shared_city.until_stored(("station", "pm25", time_us))


@pytest.mark.parametrize("coding", ["json", "senml"])
async def test_http_takes_json_and_senml(shared_city: "City", coding: str) -> None:
    """Both codings lead to rows; SenML's units are converted, and a unit that makes no sense is refused."""
    time_us = shared_city.now_us() // 1_000_000 * 1_000_000
    time_s = time_us // 1_000_000
    payloads: dict[str, tuple[str, object]] = {
        "json": (
            "application/json",
            {
                "observations": [
                    {"device": "station", "property": "pm25", "time": time_us, "value": 12.5},
                    {"device": "station", "property": "signal-state", "time": time_us, "state": "rrGG"},
                    {"device": "nobody", "property": "pm25", "time": time_us, "value": 1},
                ]
            },
        ),
        "senml": (
            "application/senml+json",
            [
                {"bn": "lamp/", "bt": time_s, "n": "temperature", "u": "K", "v": 300},
                {"n": "pm25", "u": "mg/m3", "v": 0.012},
                {"n": "pm25", "u": "lx", "v": 3, "t": 1},
            ],
        ),
    }
    content_type, payload = payloads[coding]
    url = f"{shared_city.stack.http_url}/v1/observations?district={shared_city.district}"
    async with httpx2.AsyncClient(verify=shared_city.stack.trust, headers=shared_city.stack.http_headers) as client:
        answer = await client.post(url, content=json.dumps(payload), headers={"content-type": content_type})

    told = answer.json()
    assert answer.status_code == 200
    assert (told["accepted_count"], told["refused_count"]) == (2, 1)
    assert (told["refusals"][0]["index"], told["refusals"][0]["reason"]) == (
        2,
        {"json": "DEVICE_UNKNOWN", "senml": "UNIT_MISMATCH"}[coding],
    )
    device, properties = (
        ("station", ["pm25", "signal-state"]) if coding == "json" else ("lamp", ["temperature", "pm25"])
    )
    await shared_city.until_stored(*((device, name, time_us) for name in properties))
    if coding == "senml":
        values = shared_city.rows(
            "SELECT value FROM timeseries.numbers AS r JOIN timeseries.series AS s ON s.id = r.series"
            " WHERE device = 'lamp' AND observed_property = ANY(%s) ORDER BY value",
            properties,
        )
        assert [round(value, 9) for (value,) in values] == [12.0, 26.85]


@pytest.mark.parametrize(
    ("content", "content_type", "status", "reason"),
    [
        (b"{", "application/json", 400, "PAYLOAD_UNDECODABLE"),
        (b"[" * 40 + b"]" * 40, "application/json", 400, "PAYLOAD_TOO_DEEP"),
        (b" " * 300_000, "application/json", 413, "PAYLOAD_TOO_LARGE"),
        (b"x", "text/plain", 415, "PAYLOAD_UNDECODABLE"),
    ],
)
async def test_http_refuses_with_a_problem(
    shared_city: "City", content: bytes, content_type: str, status: int, reason: str
) -> None:
    """A payload that is none gives a problem of RFC 9457 with the reason."""
    url = f"{shared_city.stack.http_url}/v1/observations?district={shared_city.district}"
    async with httpx2.AsyncClient(verify=shared_city.stack.trust, headers=shared_city.stack.http_headers) as client:
        answer = await client.post(url, content=content, headers={"content-type": content_type})

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reason"] == reason


async def test_mqtt_keeps_what_it_acknowledged_and_sends_receipts(shared_city: "City") -> None:
    """A QoS 1 payload becomes rows; what is wrong with it goes to the device's receipts and into quarantine."""
    time_us = shared_city.now_us()
    kind = UplinkKind.OBSERVATIONS_JSON
    payload = shared_city.payload(
        {"property": "presence", "time": time_us, "value": True},
        {"device": "lamp", "property": "position", "time": time_us, "position": {"longitude": 6.0, "latitude": 50.9}},
        {"device": "station", "property": "pm25", "time": time_us, "value": 1},
    )
    async with aiomqtt.Client(**shared_city.stack.mqtt.options(), identifier="cabinet") as client:
        await client.subscribe(mqtt_topic(downlink(shared_city.district, "cabinet", DownlinkKind.RECEIPTS)))
        await client.publish(mqtt_topic(uplink(shared_city.district, "cabinet", kind)), payload, qos=1)
        async with asyncio.timeout(TIMEOUT_S):
            receipt = json.loads(bytes((await anext(client.messages)).payload))

    assert receipt["accepted_count"] == 2
    assert [(each["index"], each["reason"]) for each in receipt["refusals"]] == [(2, "DEVICE_FOREIGN")]
    await shared_city.until_stored(("cabinet", "presence", time_us), ("lamp", "position", time_us))


async def test_mqtt_without_custody_is_heard_too(shared_city: "City") -> None:
    """A QoS 0 payload becomes a row, and a QoS 1 payload is not taken twice."""
    time_us = shared_city.now_us()
    topic = mqtt_topic(uplink(shared_city.district, "station", UplinkKind.OBSERVATIONS_JSON))
    before = await shared_city.settled()
    async with aiomqtt.Client(**shared_city.stack.mqtt.options(), identifier="station") as client:
        for quality in (0, 1):
            reading = {"property": "pm25", "time": time_us + quality, "value": quality}
            await client.publish(topic, shared_city.payload(reading), qos=quality)
    await shared_city.until_stored(("station", "pm25", time_us), ("station", "pm25", time_us + 1))

    after = await shared_city.settled()
    assert after.stored_count - before.stored_count == 2
    assert after.duplicate_count == before.duplicate_count


async def test_quarantine_is_listed_and_replayed(shared_city: "City") -> None:
    """A refused reading lies in quarantine with its bytes, and stays there when it is refused again."""
    time_us = shared_city.now_us()
    async with shared_city.ingest() as ingest:
        await ingest.RecordObservations(_request(shared_city, time_us, 7.0, device="stranger"))
        entries = await _quarantined(shared_city, ListQuarantineRequest(device="stranger"))
        replayed = await ingest.ReplayQuarantine(ReplayQuarantineRequest(names=[entries[0].name]))
        again = await ingest.ListQuarantine(ListQuarantineRequest(device="stranger"))

    assert (entries[0].reason, entries[0].reading_count) == ("DEVICE_UNKNOWN", 1)
    assert (replayed.accepted_count, replayed.refused_count) == (0, 1)
    assert again.entries[0].HasField("replay_time")


async def test_a_topic_that_names_no_device_lands_in_quarantine(shared_city: "City") -> None:
    """What was acknowledged and has no sender is kept with its bytes, and the door goes on."""
    topic = mqtt_topic(uplink(shared_city.district, "station", UplinkKind.OBSERVATIONS_JSON)).replace(
        "station", "Station_1"
    )
    async with aiomqtt.Client(**shared_city.stack.mqtt.options(), identifier="stranger") as client:
        await client.publish(topic, b"lost", qos=1)

    async def listed() -> list[QuarantineEntry]:
        found = await _quarantined(shared_city, ListQuarantineRequest(reason="NAME_MALFORMED"))
        return [each for each in found if each.door == "mqtt"]

    entries = await shared_city.until(listed)

    assert [(each.payload, each.reading_count, each.district) for each in entries] == [(b"lost", 1, "")]


async def test_what_comes_before_the_registry_is_known_waits(city: "City") -> None:
    """Without the registry's facts nothing is judged: MQTT readings wait, and become rows when the facts are there."""
    before = await city.settled()
    for service in ("ingest", "device-registry"):
        city.stack.services[service].kill9()
    time_us = city.now_us()
    topic = mqtt_topic(uplink(city.district, "station", UplinkKind.OBSERVATIONS_JSON))
    async with aiomqtt.Client(**city.stack.mqtt.options(), identifier="station") as client:
        await client.publish(topic, city.payload({"property": "pm25", "time": time_us, "value": 1.0}), qos=1)
    city.stack.services["ingest"].start()

    async def unavailable() -> bool:
        try:
            async with city.ingest() as ingest:
                await ingest.RecordObservations(_request(city, time_us, 1.0))
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNAVAILABLE and "registry" in (error.details() or "")
        return False

    await city.until(unavailable)
    city.stack.services["device-registry"].start()

    await city.until_stored(("station", "pm25", time_us))
    assert (await city.settled()).quarantined_count == before.quarantined_count


async def test_what_was_sent_twice_is_one_row_and_another_value_a_conflict(shared_city: "City") -> None:
    """The same reading again is a duplicate; another value under its key is kept apart, and the first one stays."""
    time_us = shared_city.now_us()
    before = await shared_city.settled()
    async with shared_city.ingest() as ingest:
        for value in (1.0, 1.0, 2.0):
            await ingest.RecordObservations(_request(shared_city, time_us, value))
        await shared_city.until_stored(("station", "pm25", time_us))
        after = await shared_city.settled()
        entries = await _quarantined(
            shared_city, ListQuarantineRequest(parent=shared_city.parent, reason="VALUE_CONFLICT")
        )

    assert after.duplicate_count - before.duplicate_count == 1
    assert after.conflict_count - before.conflict_count == 1
    assert entries[0].door == "timeseries"
    assert shared_city.rows(
        "SELECT value FROM timeseries.numbers WHERE time = to_timestamp(%s::numeric / 1000000)", time_us
    ) == [(1.0,)]


async def test_a_personal_series_needs_consent(city: "City") -> None:
    """Without consent a reading is refused and kept nowhere; withdrawn, it is refused again and what was stored hides."""
    latest = ListLatestObservationsRequest(selection=SeriesSelection(parent=city.parent, devices=["bike"]))
    async with city.ingest() as ingest, city.series() as series:

        async def recorded() -> RecordObservationsResponse:
            request = _request(city, city.now_us(), 1.0, device="bike")
            answer: RecordObservationsResponse = await ingest.RecordObservations(request)
            return answer

        async def accepted() -> bool:
            return bool((await recorded()).accepted_count)

        async def refused() -> bool:
            return not await accepted()

        async def shown() -> bool:
            return bool((await series.ListLatestObservations(latest)).observations)

        async def hidden() -> bool:
            return not await shown()

        first = await recorded()
        record = await city.grant()
        await city.until(accepted)
        await city.until(shown)
        await city.withdraw(record)
        await city.until(refused, timeout_s=5.0)
        await city.until(hidden, timeout_s=5.0)
        quarantined = await ingest.ListQuarantine(ListQuarantineRequest(device="bike"))

    assert [each.reason for each in first.refusals] == ["CONSENT_MISSING"]
    assert not quarantined.entries
    assert (await city.settled()).refused_consent_count >= 2


async def _quarantined(city: "City", request: ListQuarantineRequest) -> list[QuarantineEntry]:
    async def listed() -> list[QuarantineEntry]:
        async with city.ingest() as ingest:
            return list((await ingest.ListQuarantine(request)).entries)

    return await city.until(listed)
