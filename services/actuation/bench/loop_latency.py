"""Loop latency: QoS 1 publish of a presence reading to the lamp's command at the device, over the whole platform.

Each sample is a lamp of its own that was dimmed by the production policy before and must become brighter. Meanwhile the
other registered devices report through gRPC batches, and every lamp answers and reports its power as a real one does.
Rounds of the loop alternate with rounds of its floor (``loop_floor``) on the same servers, under the same background.
With ``--backlog`` the store is stopped while so many rows are recorded, and the loop is measured while they are read in.
Prints a table, and with ``--json`` what the data path's report takes.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import grpc
from loop_floor import DISTRICT as FLOOR_DISTRICT  # type: ignore[import-not-found]  # beside this script
from loop_floor import TOPIC_PREFIX as FLOOR_PREFIX
from loop_scene import (  # type: ignore[import-not-found]  # the same
    DISTRICT,
    Device,
    Unguarded,
    background,
    darken,
    make_policy,
    register,
)

from maasloop.bus import connection
from maasloop.bus.streams import OBSERVATION_ROWS
from maasloop.identity.command_keys import KeySetFile
from maasloop.identity.commands import CommandGuard
from maasloop.stack.local import LocalStack, StackOptions

BENCHES = Path(__file__).resolve().parents[3] / ".maasloop" / "bench"
"""On the disk of the checkout: what lies in memory needs no fsync."""
SERVICES = ("ingest", "device-registry", "timeseries", "actuation", "consent")
SENDERS = 32
ROUNDS = 3
"""Rounds of each kind for each background."""
SETTLE_S = 2.0
ARRIVAL_TIMEOUT_S = 10.0
CATCH_UP_MAX_S = 60.0
BACKLOG_PER_S = 300_000
"""Rate at which a backlog is recorded; as fast as ingest takes it if that is less."""
BACKLOG_CLIENTS = 4
BEHIND_MIN = 20
"""Messages that are on their way in any case."""

type PassBy = Callable[[str], Awaitable[float]]
"""Sets a loop going and returns when it began."""


class Floor:
    """Devices of the floor: what was sent and when it came back."""

    def __init__(self, client: aiomqtt.Client) -> None:
        """Speak over the client."""
        self.client = client
        self.arrived: dict[str, float] = {}

    async def hear(self) -> None:
        """Note when commands arrive."""
        async for message in self.client.messages:
            heard_s = time.perf_counter()
            self.arrived[json.loads(bytes(message.payload))["device"]] = heard_s

    async def pass_by(self, lamp: str) -> float:
        """Publish and return when the publish began."""
        began_s = time.perf_counter()
        await self.client.publish(FLOOR_PREFIX + lamp, b'{"value":true}', qos=1)
        return began_s


async def measure(stack: LocalStack, arguments: argparse.Namespace) -> dict[str, Any]:
    """Set the scene and take the samples."""
    backgrounds = [int(rate) for rate in arguments.background.split(",")]
    backlog = arguments.backlog > 0
    lamps = [f"lamp-{number:05}" for number in range(arguments.loops * (len(backgrounds) + backlog))]
    others = [f"air-{number:05}" for number in range(max(arguments.devices - len(lamps) - 2, 1_000))]
    listener = stack.mqtt
    options = [("grpc.max_receive_message_length", 8 << 20)]
    async with (
        stack.channel("device-registry", options=options) as registry,
        stack.channel("actuation") as actuation,
        stack.channel("ingest") as ingest,
        aiomqtt.Client(**listener.options(), identifier="bench-cabinet", max_inflight_messages=200) as client,
        contextlib.nullcontext() if arguments.secure else _floor(stack) as floor,
    ):
        client.pending_calls_threshold = 1_000
        await register(registry, lamps, others)
        await make_policy(actuation)
        await client.subscribe(f"dev/v1/{DISTRICT}/+/down/commands", qos=0)
        keys = KeySetFile(stack.directory.command_keys)
        lamp_field = Device(client, CommandGuard(DISTRICT, lamps, keys) if arguments.secure else Unguarded())
        async with running(lamp_field.hear(), *(lamp_field.answer() for _ in range(SENDERS))):
            await darken(lamp_field, lamps)
            found: dict[str, Any] = {}
            for number, rate in enumerate(backgrounds):
                part = lamps[number * arguments.loops : (number + 1) * arguments.loops]
                figures = await _under(
                    ingest, others, rate, lamp_field=lamp_field, floor=floor, lamps=part, loops_per_s=arguments.rate
                )
                several = {f"{name}_at_{rate}": value for name, value in figures.items()}
                found.update(figures if len(backgrounds) == 1 else several)
            if backlog:
                rest = lamps[-arguments.loops :]
                found.update(await _behind(stack, ingest, others, arguments, lamp_field, rest))
    return found


async def _under(
    ingest: grpc.aio.Channel,
    others: list[str],
    rate: int,
    *,
    lamp_field: Device,
    floor: Floor | None,
    lamps: list[str],
    loops_per_s: float,
) -> dict[str, Any]:
    """Measure under one background, in rounds of both kinds."""
    counted, loops, floors, counted_s, recorded = [0], [], [], 0.0, 0
    async with running(background(ingest, others, rate, counted)):
        await asyncio.sleep(SETTLE_S)
        for number in range(ROUNDS):
            part = lamps[number * len(lamps) // ROUNDS : (number + 1) * len(lamps) // ROUNDS]
            counted[0], began_s = 0, time.perf_counter()
            if floor is not None:
                floors += await take(floor.pass_by, floor.arrived, [f"{lamp}-{rate}" for lamp in part], loops_per_s)
            loops += await take(lamp_field.pass_by, lamp_field.arrived, part, loops_per_s)
            recorded, counted_s = recorded + counted[0], counted_s + time.perf_counter() - began_s
    return {
        **summary("loop_latency", loops, len(lamps)),
        **(summary("loop_floor", floors, len(lamps)) if floor is not None else {}),
        "background_observations_per_s": round(recorded / counted_s),
    }


async def _behind(
    stack: LocalStack,
    ingest: grpc.aio.Channel,
    others: list[str],
    arguments: argparse.Namespace,
    lamp_field: Device,
    lamps: list[str],
) -> dict[str, Any]:
    """Measure while the store reads in what was recorded while it stood still."""
    counted = [0]
    pid = stack.processes["timeseries"].pid
    assert pid is not None  # noqa: S101 - it runs
    os.kill(pid, signal.SIGSTOP)
    try:
        rate = BACKLOG_PER_S // BACKLOG_CLIENTS
        clients = [
            background(ingest, others, rate, counted, start=number * 5_000_000) for number in range(BACKLOG_CLIENTS)
        ]
        async with running(*clients):
            while counted[0] < arguments.backlog:
                await asyncio.sleep(0.1)
    finally:
        os.kill(pid, signal.SIGCONT)
    began_s = time.perf_counter()
    caught_up = asyncio.create_task(_caught_up(stack))
    loops = await take(lamp_field.pass_by, lamp_field.arrived, lamps, arguments.rate, until=caught_up)
    await asyncio.wait([caught_up], timeout=CATCH_UP_MAX_S)
    took_s = time.perf_counter() - began_s
    caught_up.cancel()
    return {
        **summary("loop_behind", loops, len(loops)),
        "backlog_rows": counted[0],
        "backlog_rows_per_s": round(counted[0] / took_s),
    }


async def _caught_up(stack: LocalStack) -> None:
    """Return when the store has read in everything."""
    async with connection.connect(stack.nats.url, name="bench-behind") as bus:
        while True:
            found = await bus.api(f"CONSUMER.INFO.{OBSERVATION_ROWS.stream}.{OBSERVATION_ROWS.name}")
            if found["num_pending"] + found["num_ack_pending"] < BEHIND_MIN:
                return
            await asyncio.sleep(0.1)


async def take(
    pass_by: PassBy,
    arrived: dict[str, float],
    lamps: Sequence[str],
    rate: float,
    *,
    until: asyncio.Task[None] | None = None,
) -> list[float]:
    """Walk past every lamp, ``rate`` a second, and return the latencies in ms."""
    began: dict[str, float] = {}
    pending: set[asyncio.Task[None]] = set()

    async def walk(lamp: str) -> None:
        began[lamp] = await pass_by(lamp)

    start_s = time.perf_counter()
    for number, lamp in enumerate(lamps):
        if until is not None and until.done():
            lamps = lamps[:number]
            break
        task = asyncio.create_task(walk(lamp))
        pending.add(task)
        task.add_done_callback(pending.discard)
        await asyncio.sleep(max(0.0, start_s + (number + 1) / rate - time.perf_counter()))
    deadline_s = time.perf_counter() + ARRIVAL_TIMEOUT_S
    while not all(lamp in arrived for lamp in lamps) and time.perf_counter() < deadline_s:
        await asyncio.sleep(0.1)
    return [(arrived[lamp] - began[lamp]) * 1_000 for lamp in lamps if lamp in arrived and lamp in began]


def summary(name: str, samples: list[float], loops: int) -> dict[str, Any]:
    """Return the figures."""
    samples.sort()
    if not samples:
        return {f"{name}_lost": loops}
    return {
        f"{name}_p50_ms": round(statistics.median(samples), 2),
        f"{name}_p90_ms": round(samples[int(len(samples) * 0.9)], 2),
        f"{name}_p99_ms": round(samples[int(len(samples) * 0.99)], 2),
        f"{name}_max_ms": round(samples[-1], 2),
        f"{name}_samples": len(samples),
        f"{name}_lost": loops - len(samples),
    }


@asynccontextmanager
async def running(*work: Any) -> AsyncIterator[None]:  # noqa: ANN401 - any coroutines
    """Run coroutines beside the block."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                print(f"a part of the bench failed: {outcome!r}", file=sys.stderr)


@asynccontextmanager
async def _floor(stack: LocalStack) -> AsyncIterator[Floor]:
    """Start the bare process, and devices of its own."""
    script = Path(__file__).with_name("loop_floor.py")
    command = [sys.executable, str(script), "--nats", stack.nats.url, "--dsn", stack.postgres_dsn]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    host, port = stack.nats.mqtt_address
    try:
        await process.stdout.readline()
        async with aiomqtt.Client(host, port, identifier="bench-floor", max_inflight_messages=200) as client:
            client.pending_calls_threshold = 1_000
            await client.subscribe(f"dev/v1/{FLOOR_DISTRICT}/+/down/commands", qos=0)
            floor = Floor(client)
            async with running(floor.hear()):
                yield floor
    finally:
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await process.wait()


async def run(root: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Start a platform of its own, measure, and stop it."""
    async with LocalStack(
        root, StackOptions(services=SERVICES, durable_initdb=False, secure=arguments.secure)
    ) as stack:
        try:
            found = await measure(stack, arguments)
        finally:
            if arguments.keep_logs:
                keep(stack, Path(arguments.keep_logs))
        found["rss_mib"] = {name: rss_mib(process.pid) for name, process in stack.processes.items()}
        return found


def keep(stack: LocalStack, folder: Path) -> None:
    """Keep what the services logged and counted."""
    for log in stack.directory.logs.glob("*.log"):
        (folder / log.name).write_bytes(log.read_bytes())
    for name in stack.services:
        with urllib.request.urlopen(f"http://{stack.addresses[name].health}/metrics", timeout=5) as answer:
            (folder / f"{name}.metrics").write_bytes(answer.read())


def rss_mib(pid: int | None) -> float:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loops", type=int, default=1_500, help="samples a background, each a lamp of its own")
    parser.add_argument("--rate", type=float, default=50.0, help="loops a second")
    parser.add_argument("--background", default="5000", help="observations a second; several with commas between")
    parser.add_argument("--backlog", type=int, default=0, help="rows to be read in while the loop is measured")
    parser.add_argument("--devices", type=int, default=10_000, help="registered devices, lamps included")
    parser.add_argument("--keep-logs", default="", help="folder to copy the logs to")
    parser.add_argument(
        "--secure", action="store_true", help="with identities and TLS, without the floor and a backlog"
    )
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    BENCHES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="loop-", dir=BENCHES) as root:
        Path(root).chmod(0o755)
        found = asyncio.run(run(Path(root), arguments))
    if arguments.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:40} {value}")


if __name__ == "__main__":
    main()
