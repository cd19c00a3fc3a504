"""Devices that misbehave: clocks that step, payloads that are none, and readers that do not read."""

import asyncio
import http.client
import json
import socket
import ssl
from typing import Any

import aiomqtt
import httpx2
from tests.faults.city import DISTRICTS, OBSERVED_PROPERTY, device_id, recorder, request_of
from tests.faults.lab import Lab
from tests.faults.lanes.outcome import Outcome
from tests.faults.ledger import Batch
from tests.faults.nemesis import Nemesis
from tests.faults.recovery import rate

from maasloop.api.observation.v1.series_service_pb2 import SeriesSelection, WatchObservationsRequest
from maasloop.bus import subjects
from maasloop.bus.columns import READINGS_HEADER
from maasloop.bus.subjects import UplinkKind, mqtt_topic, uplink
from maasloop.stack.doors import token_of
from maasloop.testing.buses import core_bus, core_user

SECOND_US = 1_000_000
STEP_LOAD_S = 1.0
"""Beside the time in which a load becomes steady."""
STEPS_US = (120 * SECOND_US, -3_600 * SECOND_US, -2 * SECOND_US)
"""Clocks that are ahead, far behind and a little behind."""
FUTURE_US = 3_600 * SECOND_US
"""A clock so far ahead that its readings are refused."""
SPARE_DEVICE = 120
"""A device that no load uses."""
POISON_S = 6.0
SLOW_S = 12.0
SUBSCRIPTIONS = 300
ANSWER_TIMEOUT_S = 5.0
"""Of one connection that does not read: it gets every message that many times."""
RATE_SHARE = 0.85
NATS_MAX_BYTES = 256 * 1024 * 1024


async def clock_steps(lab: Lab, nemesis: Nemesis) -> Outcome:
    """Step the clocks of all devices: what is late is stored and right in every rollup, what is to come is refused."""
    for skew_us in STEPS_US:
        nemesis.note("clock step", skew_s=skew_us // SECOND_US)
        async with lab.load(skew_us=skew_us):
            await asyncio.sleep(STEP_LOAD_S)
    now_us = lab.clock.now_us()
    ahead = Batch(0, "grpc", SPARE_DEVICE, 1, now_us + FUTURE_US, 600_000_000_000, 10)
    async with lab.stack.channel("ingest") as channel:
        record = recorder(channel)
        answer = await record(request_of(ahead), timeout=10.0)
    verdict = await lab.verdict()
    terms = (await lab.evidence()).terms
    return Outcome.of(
        "clock steps of devices",
        verdict,
        requirements={
            "readings an hour ahead are refused with a reason": answer.accepted_count == 0
            and "FUTURE" in str(answer.refusals),
            "and lie in quarantine": terms["quarantined"] >= ahead.count,
        },
        figures={"steps, s": [step // SECOND_US for step in STEPS_US], "quarantined": terms["quarantined"]},
    )


def poisons(nemesis: Nemesis) -> list[bytes]:
    """Return payloads that are none, by the seed."""
    good = {"device": device_id(SPARE_DEVICE), "property": OBSERVED_PROPERTY, "value": 1.0}
    return [
        nemesis.random.randbytes(300),
        b"",
        b"[" * 50_000,
        b'{"observations": [' + b'{"a":' * 20_000,
        json.dumps({"observations": [good | {"value": 1e12 + 1}]}).encode(),
        b'{"observations": [{"device": "sensor-0120", "property": "water-level", "value": 1e400}]}',
        b'{"observations": [{"device": "sensor-0120", "property": "water-level", "value": NaN}]}',
        json.dumps({"observations": [good | {"device": "no\x00body"}]}).encode(),
        json.dumps({"observations": [good | {"device": "stranger"}]}).encode(),
        json.dumps({"observations": [good | {"time": 2**62}]}).encode(),
        json.dumps({"observations": [good | {"time": "1970-01-01T00:00:00Z"}]}).encode(),
        "\udcff{".encode("utf-8", "surrogatepass"),
        b"\xef\xbb\xbf" + json.dumps({"observations": [good]}).encode()[:-2],
    ]


async def poison(lab: Lab, nemesis: Nemesis) -> Outcome:
    """Poison every door and the stream itself while the load runs: each is counted, and nobody else notices."""
    payloads, sent, broken = poisons(nemesis), 0, 0
    async with lab.load() as sampler:
        usual = sampler.usual
        began_s = lab.clock.monotonic_s()
        url = f"{lab.stack.http_url}/v1/observations?district={DISTRICTS[1]}"
        topics = [
            mqtt_topic(uplink(DISTRICTS[1], device_id(SPARE_DEVICE), kind))
            for kind in UplinkKind
            if str(kind).startswith("observations")
        ]
        async with (
            aiomqtt.Client(**lab.stack.mqtt.options(), identifier="poisoner") as mqtt,
            httpx2.AsyncClient(timeout=10.0, verify=lab.stack.trust, headers=lab.stack.http_headers) as web,
        ):
            for payload in payloads:
                for topic in topics:
                    await mqtt.publish(topic, payload, qos=1, timeout=10.0)
                for content_type in ("application/json", "application/senml+json"):
                    answer = await web.post(url, content=payload, headers={"content-type": content_type})
                    broken += answer.status_code >= 500
                sent += len(topics) + 2
        dead = await _poison_the_stream(lab, nemesis)
        await asyncio.sleep(max(0.0, began_s + POISON_S - lab.clock.monotonic_s()))
        now_s = sampler.samples[-1].at_s
        kept = rate(sampler.samples, began_s, now_s)
    verdict = await lab.verdict()
    terms = (await lab.evidence()).terms
    return Outcome.of(
        "poison payloads",
        verdict,
        requirements={
            "no door answers with an internal error": broken == 0,
            "the load keeps its rate": kept >= RATE_SHARE * usual,
            "what poisoned the stream is a dead letter": terms["dead_lettered"] >= dead,
            "what poisoned the doors is in quarantine": terms["quarantined"] > 0,
        },
        figures={
            "poisoned payloads": sent,
            "poisoned messages": dead,
            "quarantined": terms["quarantined"],
            "dead letters": terms["dead_lettered"],
        },
    )


async def _poison_the_stream(lab: Lab, nemesis: Nemesis) -> int:
    """Publish messages that no producer of ours would, beside the doors."""
    subject = subjects.OBSERVATION_RECORDED.subject(DISTRICTS[0], "water")
    bodies = [nemesis.random.randbytes(200), b"\x0a\xff\xff\xff\xff\x0f", b"\x00" * 64]
    async with core_bus(lab.stack, "faults-poison") as bus:
        for body in bodies:
            headers = {"Nats-Msg-Id": f"poison-{nemesis.random.getrandbits(64)}", READINGS_HEADER: "1"}
            await bus.publish(subject, body, headers)
    return len(bodies)


async def slow_consumers(lab: Lab, nemesis: Nemesis) -> Outcome:
    """A NATS subscriber and a watcher that do not read: others keep their rate, memory is bounded, drops are counted."""
    async with lab.load() as sampler:
        usual = sampler.usual
        began_s = lab.clock.monotonic_s()
        deaf = _deaf_subscriber(lab)
        async with lab.stack.channel("timeseries") as channel:
            watch: Any = channel.unary_stream(
                "/maasloop.api.observation.v1.SeriesService/WatchObservations",
                request_serializer=WatchObservationsRequest.SerializeToString,
                response_deserializer=bytes,
            )
            call = watch(WatchObservationsRequest(selection=SeriesSelection(parent=f"districts/{DISTRICTS[0]}")))
            await asyncio.sleep(SLOW_S)
            now_s = sampler.samples[-1].at_s
            kept = rate(sampler.samples, began_s + 1, now_s)
            call.cancel()
        deaf.close()
        nemesis.note("slow consumers", usual=round(usual), kept=round(kept))
        peaks = {name: max(found.resident_bytes) for (name, _), found in sampler.footprints.items() if name != "load"}
    cut = await asyncio.to_thread(_slow_consumers_counted, lab)
    verdict = await lab.verdict()
    return Outcome.of(
        "slow consumers",
        verdict,
        requirements={
            "the load keeps its rate": kept >= RATE_SHARE * usual,
            "every process within 256 MiB": max(peaks.values()) <= NATS_MAX_BYTES,
            "the broker cut the slow one and counted it": cut > 0,
        },
        figures={
            "rate before and beside": f"{usual:.0f} and {kept:.0f}",
            "peak RSS of nats, MiB": round(peaks.get("nats", 0) / 1024**2),
            "slow consumers counted": cut,
        },
    )


def _deaf_subscriber(lab: Lab) -> socket.socket:
    """Subscribe on a bare socket and never read again; raises ``ConnectionError`` where the broker does not let it."""
    user = core_user(lab.stack)
    told: dict[str, Any] = {"verbose": False}
    connection = socket.create_connection(("127.0.0.1", lab.stack.nats.ports.client), timeout=ANSWER_TIMEOUT_S)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    _heard(connection, b"\r\n")
    if user.credentials_file is not None and user.authority_file is not None:
        context = ssl.create_default_context(cafile=user.authority_file)
        connection = context.wrap_socket(connection, server_hostname="127.0.0.1")
        told["jwt"] = token_of(user.credentials_file)
    subject = subjects.OBSERVATION_RECORDED.wildcard()
    wanted = "".join(f"SUB {subject} {number}\r\n" for number in range(SUBSCRIPTIONS))
    connection.sendall(f"CONNECT {json.dumps(told)}\r\nPING\r\n".encode())
    _heard(connection, b"PONG")
    connection.sendall(wanted.encode())
    return connection


def _heard(connection: socket.socket, mark: bytes) -> None:
    """Read up to a mark."""
    said = b""
    while mark not in said:
        found = connection.recv(65_536)
        if not found:
            message = f"the broker closed the connection: {said!r}"
            raise ConnectionError(message)
        said += found


def _slow_consumers_counted(lab: Lab) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", lab.stack.nats.ports.monitor, timeout=5)
    connection.request("GET", "/varz")
    return int(json.load(connection.getresponse())["slow_consumers"])
