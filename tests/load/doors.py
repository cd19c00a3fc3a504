"""Readings through each door of ingest until they are readable, with requests made beforehand."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence

import cbor2
from tests.load import city, wire_grpc, wire_http, wire_mqtt
from tests.load.city import DISTRICT, OBSERVED_PROPERTY, device_id
from tests.load.lab import Lab, Measured
from tests.load.street import SECOND_US

from maasloop.bus.subjects import INGEST_RECORD, UplinkKind, mqtt_topic, uplink
from maasloop.testing.buses import core_bus

RECORD = "/maasloop.api.observation.v1.IngestService/RecordObservations"
STREAM = "/maasloop.api.observation.v1.IngestService/StreamObservations"
IN_FLIGHT = 16
NATS_TIMEOUT_S = 30
HTTP_CONNECTIONS = 8
HTTP_READINGS_A_REQUEST = 100
SENML_RECORDS_A_PACK = 1_000
STREAMS = 8
STREAM_IN_FLIGHT = 64
MQTT_CONNECTIONS = 20
MQTT_IN_FLIGHT = 10
JSON, SENML, SENML_CBOR = "application/json", "application/senml+json", "application/senml+cbor"

type Answer = Callable[[bytes], Awaitable[bytes]]


async def _all(waiting: Iterator[bytes], ask: Answer, expected: bytes, in_flight: int) -> None:
    async def work() -> None:
        for request in waiting:
            if (answer := await ask(request)) != expected:
                message = f"readings were refused: {answer!r}"
                raise RuntimeError(message)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work())


async def grpc_batches(lab: Lab, *, seconds: int, rows: int) -> Measured:
    """Send every series each street second, so many rows a message, over one stream, 16 messages unanswered.

    Rows are a multiple of the series or the other way round, and fill the last message. One stream, because batches that
    overtake each other are older than what is stored, which costs the writer more.
    """
    start_us = lab.street.take(seconds)
    made = city.requests(start_us, seconds, rows=rows, devices=lab.devices)
    expected = city.accepted(rows)
    async with wire_grpc.Channel(lab.address("ingest"), STREAM, tls=lab.tls()) as channel:

        async def send() -> None:
            await _stream(channel, made, expected, IN_FLIGHT)

        return await lab.measure(
            send, start_us=start_us, seconds=seconds, rows=seconds * lab.devices, series=lab.devices
        )


async def grpc_calls(lab: Lab, *, seconds: int, rows: int, a_second: int = 1) -> Measured:
    """Send the same with a call a message, every series so often a street second, 16 calls in flight."""
    start_us = lab.street.take(seconds)
    made = city.requests(start_us, seconds, rows=rows, devices=lab.devices, a_second=a_second)
    expected = city.accepted(rows)
    async with wire_grpc.Channel(lab.address("ingest"), RECORD, tls=lab.tls()) as channel:

        async def send() -> None:
            await _all(iter(made), channel.unary, expected, IN_FLIGHT)

        count = seconds * a_second * lab.devices
        return await lab.measure(send, start_us=start_us, seconds=seconds, rows=count, series=lab.devices)


async def nats_batches(lab: Lab, *, seconds: int, rows: int) -> Measured:
    """Send the same as requests over NATS."""
    start_us = lab.street.take(seconds)
    made = city.requests(start_us, seconds, rows=rows, devices=lab.devices)
    async with core_bus(lab.stack) as bus:

        async def ask(request: bytes) -> bytes:
            return bytes((await bus.client.request(INGEST_RECORD, request, timeout=NATS_TIMEOUT_S)).data)

        async def send() -> None:
            await _all(iter(made), ask, city.accepted(rows), IN_FLIGHT)

        return await lab.measure(
            send, start_us=start_us, seconds=seconds, rows=seconds * lab.devices, series=lab.devices
        )


async def grpc_stream_singles(lab: Lab, *, readings: int) -> Measured:
    """Send one reading a message over 8 streams, 64 messages in flight on each."""
    seconds = -(-readings // lab.devices)
    start_us = lab.street.take(seconds)
    made = city.requests(start_us, seconds, rows=1, devices=lab.devices)[:readings]
    expected = city.accepted(1)
    async with wire_grpc.Channel(lab.address("ingest"), STREAM, tls=lab.tls()) as channel:

        async def send() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(STREAMS):
                    group.create_task(_stream(channel, made[number::STREAMS], expected, STREAM_IN_FLIGHT))

        return await lab.measure(send, start_us=start_us, seconds=seconds, rows=readings, series=0)


async def _stream(channel: wire_grpc.Channel, requests: Sequence[bytes], expected: bytes, in_flight: int) -> None:
    """Send over a stream and hear every answer."""
    answered, room = 0, asyncio.Event()

    def hear(answer: bytes) -> None:
        nonlocal answered
        if answer != expected:
            message = f"readings were refused: {answer!r}"
            raise RuntimeError(message)
        answered += 1
        room.set()

    call = await channel.stream(hear)
    for sent in range(len(requests) + in_flight):
        while answered < min(sent - in_flight + 1, len(requests)):
            room.clear()
            await room.wait()
        if sent < len(requests):
            call.send(requests[sent])


async def _http(lab: Lab, kind: str, bodies: Sequence[bytes], *, start_us: int, seconds: int, rows: int) -> Measured:
    address = lab.stack.addresses["ingest"].http
    target = f"/v1/observations?district={DISTRICT}"
    headers = {**lab.stack.http_headers, "content-type": kind}
    made = [wire_http.post(address, target, headers, body) for body in bodies]

    async def send() -> None:
        await wire_http.send_all(
            address, made, tls=lab.stack.trust if lab.stack.certificates else None, connections=HTTP_CONNECTIONS
        )

    return await lab.measure(send, start_us=start_us, seconds=seconds, rows=rows, series=0)


async def http_json(lab: Lab, *, requests: int, readings_a_request: int = HTTP_READINGS_A_REQUEST) -> Measured:
    """Send JSON over HTTP, 8 connections."""
    rows = requests * readings_a_request
    seconds = -(-rows // lab.devices)
    start_us = lab.street.take(seconds)
    bodies = []
    for number in range(requests):
        places = [divmod(number * readings_a_request + offset, lab.devices) for offset in range(readings_a_request)]
        readings = [
            {
                "device": device_id(device),
                "property": OBSERVED_PROPERTY,
                "time": start_us + second * SECOND_US,
                "value": 1,
            }
            for second, device in places
        ]
        bodies.append(json.dumps({"observations": readings}).encode())
    return await _http(lab, JSON, bodies, start_us=start_us, seconds=seconds, rows=rows)


async def http_senml(lab: Lab, *, packs: int, records: int = SENML_RECORDS_A_PACK, cbor: bool = False) -> Measured:
    """Send SenML packs over HTTP, 8 connections."""
    rows = packs * records
    seconds = -(-rows // lab.devices)
    start_us = lab.street.take(seconds)
    bodies = [_senml(start_us, number, records, lab.devices, cbor=cbor) for number in range(packs)]
    kind = SENML_CBOR if cbor else SENML
    return await _http(lab, kind, bodies, start_us=start_us, seconds=seconds, rows=rows)


def _senml(start_us: int, number: int, records: int, devices: int, *, cbor: bool) -> bytes:
    """Return a pack: the time as base value, and a name and a value a record."""
    name, value, base_time = (0, 2, -3) if cbor else ("n", "v", "bt")
    second, first = divmod(number * records, devices)
    pack = [
        {name: f"{device_id(device)}/{OBSERVED_PROPERTY}", value: float(device % 5)}
        for device in range(first, first + records)
    ]
    pack[0] = {base_time: start_us // SECOND_US + second, **pack[0]}
    if not cbor:
        return json.dumps(pack).encode()
    return bytes(cbor2.dumps(pack))


def mqtt_messages(lab: Lab, start_us: int, count: int, *, topic_prefix: str = "") -> list[tuple[bytes, bytes]]:
    """Return so many publishes of one reading, each of another device."""
    made = []
    for number in range(count):
        second, device = divmod(number, lab.devices)
        topic = topic_prefix + mqtt_topic(uplink(DISTRICT, device_id(device), UplinkKind.OBSERVATIONS_JSON))
        reading = {"property": OBSERVED_PROPERTY, "time": start_us + second * SECOND_US, "value": 1}
        made.append((topic.encode(), json.dumps({"observations": [reading]}).encode()))
    return made


async def mqtt_singles(lab: Lab, *, messages: int) -> Measured:
    """Publish one reading a message, QoS 1, over 20 connections."""
    seconds = -(-messages // lab.devices)
    start_us = lab.street.take(seconds)
    made = mqtt_messages(lab, start_us, messages)
    async with wire_mqtt.Publishers(lab.stack.mqtt, MQTT_CONNECTIONS, name="rows") as publishers:

        async def send() -> None:
            await publishers.publish_all(made, in_flight=MQTT_IN_FLIGHT)

        return await lab.measure(send, start_us=start_us, seconds=seconds, rows=messages, series=0)
