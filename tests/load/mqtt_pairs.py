"""QoS 1 readings until they are rows, beside QoS 1 publishes that nats-server only has to store, in alternating pairs.

The floor is what the MQTT listener can do at best: the same publishes by the same client on the same server, on topics
outside the doors, kept for a durable consumer of the bench that never asks for them.
"""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from nats.aio.client import Client
from tests.load import doors, wire_mqtt
from tests.load.lab import Lab

from maasloop.bus.subjects import MQTT_STORED_PREFIX, MQTT_STREAM
from maasloop.testing.buses import devices_bus

PAIRS = 5
SIDE_S = 6.0
"""How long a side takes at least: a shorter one is at the mercy of whatever else the machine does."""
WARM_UP = 4_000
PREFIX = "application/bench/"
"""Before the topics of the floor: no door listens there."""
_SUBJECTS = f"{MQTT_STORED_PREFIX}application.bench.>"
_DURABLE = "bench-idle"


async def measure(lab: Lab, *, side_s: float = SIDE_S, pairs: int = PAIRS) -> dict[str, list[float]]:
    """Return rates of both and their ratio, pair by pair; who begins alternates.

    Both sides send the same number of messages: what the faster one, storing, does in ``side_s``.
    """
    figures: dict[str, list[float]] = {"mqtt_rows_per_s": [], "mqtt_stored_per_s": [], "mqtt_ratio": []}
    async with _idle_durable(lab) as client:
        await doors.mqtt_singles(lab, messages=WARM_UP)
        messages = max(WARM_UP, round(side_s * await _stored(lab, client, WARM_UP)))
        for pair in range(pairs):
            stored_per_s = await _stored(lab, client, messages) if pair % 2 else 0.0
            rows_per_s = (await doors.mqtt_singles(lab, messages=messages)).rows_per_s
            stored_per_s = stored_per_s or await _stored(lab, client, messages)
            figures["mqtt_rows_per_s"].append(rows_per_s)
            figures["mqtt_stored_per_s"].append(stored_per_s)
            figures["mqtt_ratio"].append(rows_per_s / stored_per_s)
    return figures


async def _stored(lab: Lab, client: Client, messages: int) -> float:
    """Return publishes a second that were acknowledged, after proof that all are stored; then delete them."""
    made = doors.mqtt_messages(lab, 0, messages, topic_prefix=PREFIX)
    async with wire_mqtt.Publishers(lab.stack.mqtt, doors.MQTT_CONNECTIONS, name="stored") as publishers:
        began_s = time.perf_counter()
        await publishers.publish_all(made, in_flight=doors.MQTT_IN_FLIGHT)
        took_s = time.perf_counter() - began_s
    found = await _api(client, f"CONSUMER.INFO.{MQTT_STREAM}.{_DURABLE}", {})
    if found["num_pending"] != messages:
        message = f"{messages} publishes were acknowledged, {found['num_pending']} are stored"
        raise RuntimeError(message)
    await _api(client, f"STREAM.PURGE.{MQTT_STREAM}", {"filter": _SUBJECTS})
    return messages / took_s


@asynccontextmanager
async def _idle_durable(lab: Lab) -> AsyncIterator[Client]:
    config = {"durable_name": _DURABLE, "ack_policy": "explicit", "filter_subject": _SUBJECTS}
    made = {"stream_name": MQTT_STREAM, "config": config}
    async with devices_bus(lab.stack) as bus:
        await _api(bus.client, f"CONSUMER.DURABLE.CREATE.{MQTT_STREAM}.{_DURABLE}", made)
        yield bus.client
        await _api(bus.client, f"CONSUMER.DELETE.{MQTT_STREAM}.{_DURABLE}", {})


async def _api(client: Client, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.request(f"$JS.API.{verb}", json.dumps(body).encode() if body else b"", timeout=10)
    found: dict[str, Any] = json.loads(answer.data)
    if "error" in found:
        message = f"{verb}: {found['error']}"
        raise RuntimeError(message)
    return found
