"""The floor of the loop: the four durable hops in one bare process, with nothing decided, checked or remembered.

An MQTT publish that nats-server stored comes from a durable, is published to the stream of readings, comes from there by
another durable, is committed to a table, and goes to the device over NATS. ``loop_latency`` starts it beside the platform,
so that both figures come from the same servers under the same background, and stops it by closing its input.
"""

import argparse
import asyncio
import json
import sys
import uuid

import numpy as np

from maasloop.api.observation.v1.observation_pb2 import SeriesDictionary
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus import connection, subjects
from maasloop.bus.columns import build_columns
from maasloop.bus.connection import Bus
from maasloop.bus.envelope import Envelope
from maasloop.bus.pull import Delivery, Pull
from maasloop.bus.streams import STREET, Durable
from maasloop.postgres.pool import Connection, connect

DISTRICT = "floor"
DOMAIN = "mobility"
TOPIC_PREFIX = "floor/v1/"
"""Topic of a publish, before the name of the lamp; outside the doors."""
FACT = subjects.OBSERVATION_RECORDED
UPLINKS = Durable(
    "bench-floor-uplinks",
    subjects.MQTT_STREAM,
    "bench",
    (f"{subjects.MQTT_STORED_PREFIX}floor.v1.>",),
    deliver="new",
    meaning="What the floor of the loop begins with.",
)
READINGS = Durable(
    "bench-floor-readings",
    STREET.stream,
    "bench",
    (FACT.subject(DISTRICT, DOMAIN),),
    deliver="new",
    meaning="Readings of the floor.",
)
TABLE = "CREATE TABLE IF NOT EXISTS bench_floor (lamp text, at timestamptz DEFAULT now())"
INSERT = "INSERT INTO bench_floor (lamp) VALUES (%s)"
AT_ONCE_MAX = 128


async def hear_uplinks(bus: Bus) -> None:
    """Publish what MQTT stored to the stream of readings, then acknowledge it."""
    async with Pull(bus, UPLINKS) as pull, asyncio.TaskGroup() as group:
        while True:
            for delivery in await pull.take(AT_ONCE_MAX):
                group.create_task(_record(bus, delivery))


async def _record(bus: Bus, delivery: Delivery) -> None:
    lamp = delivery.subject.rpartition(".")[2]
    columns = build_columns([lamp], ["presence"], [0], [0], [delivery.stored_ns // 1_000], np.ones(1))
    body = PackedObservationsRecorded(
        district=DISTRICT, domain=DOMAIN, observations=columns.packed(), reading_count=1
    ).SerializeToString()
    envelope = Envelope(uuid.uuid4().hex, FACT.message, "maasloop/bench", delivery.stored_ns // 1_000)
    await bus.publish(FACT.subject(DISTRICT, DOMAIN), body, envelope.headers())
    await delivery.ack()


async def hear_readings(bus: Bus, database: Connection) -> None:
    """Commit each reading, send it to its device, and acknowledge it."""
    async with Pull(bus, READINGS) as pull:
        while True:
            for delivery in await pull.take(AT_ONCE_MAX):
                message = PackedObservationsRecorded.FromString(delivery.body)
                lamp = SeriesDictionary.FromString(message.observations.dictionary).devices[0]
                await database.execute(INSERT, (lamp,))
                subject = subjects.downlink(DISTRICT, lamp, subjects.DownlinkKind.COMMANDS)
                await bus.tell(subject, json.dumps({"device": lamp}).encode())
                await delivery.ack()


async def run(nats_url: str, dsn: str) -> None:
    """Work until the input is closed."""
    async with connection.connect(nats_url, name="bench-floor") as bus:
        for durable in (UPLINKS, READINGS):
            body = {"stream_name": durable.stream, "config": durable.config()}
            await bus.api(f"CONSUMER.DURABLE.CREATE.{durable.stream}.{durable.name}", body)
        database = await connect(dsn, name="bench-floor", autocommit=True)
        await database.execute(TABLE)
        work = [asyncio.create_task(hear_uplinks(bus)), asyncio.create_task(hear_readings(bus, database))]
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        await asyncio.wait([*work, end], return_when=asyncio.FIRST_COMPLETED)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        for durable in (UPLINKS, READINGS):
            await bus.api(f"CONSUMER.DELETE.{durable.stream}.{durable.name}")
        await database.close()


def main() -> None:
    """Read the addresses and work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nats", required=True, help="address of NATS")
    parser.add_argument("--dsn", required=True, help="connection string of a database that may hold a table")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.nats, arguments.dsn))


if __name__ == "__main__":
    main()
