"""What identities, TLS, seals and the audit log cost the loop: rounds on two stacks, with all of them and without, in pairs.

``python -m tests.load.loop_overhead`` prints the 99th percentile of all loops of a side, how many times as long it is with
security, and the same of the processor time of the platform's processes, which a busy machine changes least. Each sample is
a lamp of its own, as in actuation's bench, and only the side that is measured has a background.
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
from tests.load import processes, wire_mqtt
from tests.load.lab import directory

from maasloop.identity.command_keys import KeySetFile
from maasloop.identity.commands import CommandGuard
from maasloop.stack.doors import MqttListener
from maasloop.stack.local import LocalStack, StackOptions

BENCH = Path("services/actuation/bench").resolve()
SERVICES = ("ingest", "device-registry", "timeseries", "actuation", "consent")
PAIRS, LOOPS = 7, 150
"""Rounds of each side, and loops of a round."""
LOOPS_PER_S = 50.0
BACKGROUND_PER_S, OTHERS = 1_000, 1_000
SETTLE_S = 1.0
LOST_MAX = 0.01
"""Share of loops that may not end within the bench's time."""


@dataclass
class Side:
    """A stack with its lamps, each of which makes one loop."""

    ingest: grpc.aio.Channel
    device: Any
    rounds: list[list[str]]
    stack: LocalStack
    took_ms: list[list[float]] = field(default_factory=list)
    """Of each round."""
    cpu_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Processor seconds of the rounds, by process."""
    lost: int = 0

    @property
    def all_ms(self) -> list[float]:
        """The loops of all rounds."""
        return [took for round_ms in self.took_ms for took in round_ms]

    def figures(self) -> dict[str, Any]:
        """Return percentiles of all loops and of each round, and processor time a loop, with its share of the background."""
        loops = len(self.all_ms)
        cpu_ms = {name: round(1_000 * spent / loops, 2) for name, spent in self.cpu_s.items() if ":" not in name}
        return {
            "p99_ms": round(_p99(self.all_ms), 2),
            "p50_ms": round(statistics.median(self.all_ms), 2),
            "p99_ms_of_rounds": [round(_p99(each), 2) for each in self.took_ms],
            "p50_ms_of_rounds": [round(statistics.median(each), 2) for each in self.took_ms],
            "cpu_ms": round(sum(spent for name, spent in cpu_ms.items() if name != processes.CLIENT), 2),
            "cpu_ms_of_processes": cpu_ms,
        }


async def measure(*, pairs: int = PAIRS, loops: int = LOOPS) -> dict[str, Any]:
    """Return figures by side, and their ratios."""
    async with _side(pairs, loops, secure=True) as secure, _side(pairs, loops, secure=False) as plain:
        await asyncio.gather(_dark(secure), _dark(plain))
        for pair in range(pairs):
            for side in (secure, plain) if pair % 2 else (plain, secure):
                await _round(side, pair)
    lost = secure.lost + plain.lost
    if lost > LOST_MAX * 2 * pairs * loops:
        message = f"{lost} of {2 * pairs * loops} loops did not end"
        raise RuntimeError(message)
    told: dict[str, Any] = {"loops_lost": lost}
    figures = {"secure": secure.figures(), "plain": plain.figures()}
    for name, of_side in figures.items():
        told |= {f"{figure}_{name}": value for figure, value in of_side.items()}
    for figure in ("p99_ms", "p50_ms", "cpu_ms"):
        told[f"{figure.removesuffix('_ms')}_ratio"] = figures["secure"][figure] / figures["plain"][figure]
    return told


def _scripts() -> tuple[Any, Any]:
    """Return the modules of actuation's bench, which are scripts and no package."""
    sys.path.insert(0, str(BENCH))
    try:
        import loop_latency  # type: ignore[import-not-found]  # a script, found there only
        import loop_scene  # type: ignore[import-not-found]  # the same
    finally:
        sys.path.remove(str(BENCH))
    return loop_latency, loop_scene


@dataclass
class _Message:
    topic: Any
    payload: bytes


class _Cabinet:
    """A device's client that costs little: it shares the machine with what is measured, where a real one has its own."""

    def __init__(self) -> None:
        self._connection: wire_mqtt.Connection | None = None
        self._heard: asyncio.Queue[_Message] = asyncio.Queue()
        self._waiting: dict[int, asyncio.Future[None]] = {}

    async def open(self, listener: MqttListener, topic: str) -> None:
        self._connection = await wire_mqtt.connect(listener, "cabinet", self._acknowledged)
        await self._connection.subscribe(topic, self._hear)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _acknowledged(self, identifier: int) -> None:
        self._waiting.pop(identifier).set_result(None)

    def _hear(self, topic: bytes, payload: bytes, _: float) -> None:
        self._heard.put_nowait(_Message(SimpleNamespace(value=topic.decode()), payload))

    @property
    async def messages(self) -> AsyncIterator[_Message]:
        while True:
            yield await self._heard.get()

    async def publish(self, topic: str, body: bytes, *, qos: int) -> None:
        """Publish, and return when it is acknowledged."""
        assert qos == 1
        assert self._connection is not None
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[self._connection.publish(topic.encode(), body)] = acknowledged
        await acknowledged


@asynccontextmanager
async def _cabinet(stack: LocalStack, topic: str) -> AsyncIterator[_Cabinet]:
    made = _Cabinet()
    try:
        await made.open(stack.mqtt, topic)
        yield made
    finally:
        made.close()


@asynccontextmanager
async def _side(pairs: int, loops: int, *, secure: bool) -> AsyncIterator[Side]:
    bench, scene = _scripts()
    lamps = [f"lamp-{number:05}" for number in range(pairs * loops)]
    others = [f"air-{number:05}" for number in range(OTHERS)]
    options = StackOptions(services=SERVICES, restart=False, durable_initdb=False, secure=secure)
    with directory() as root:
        async with (
            LocalStack(root, options) as stack,
            stack.channel("device-registry") as registry,
            stack.channel("actuation") as actuation,
            stack.channel("ingest") as ingest,
            _cabinet(stack, f"dev/v1/{scene.DISTRICT}/+/down/commands") as client,
        ):
            await scene.register(registry, lamps, others)
            await scene.make_policy(actuation)
            keys = KeySetFile(stack.directory.command_keys)
            guard = CommandGuard(scene.DISTRICT, lamps, keys) if secure else scene.Unguarded()
            device = scene.Device(client, guard)
            async with bench.running(device.hear(), *(device.answer() for _ in range(bench.SENDERS))):
                rounds = [lamps[first : first + loops] for first in range(0, len(lamps), loops)]
                yield Side(ingest, device, rounds, stack)


async def _dark(side: Side) -> None:
    _, scene = _scripts()
    await scene.darken(side.device, [lamp for lamps in side.rounds for lamp in lamps])


async def _round(side: Side, number: int) -> None:
    bench, scene = _scripts()
    others = [f"air-{number:05}" for number in range(OTHERS)]
    async with bench.running(scene.background(side.ingest, others, BACKGROUND_PER_S, [0])):
        await asyncio.sleep(SETTLE_S)
        lamps = side.rounds[number]
        before = processes.cpu_seconds(side.stack)
        took_ms = await bench.take(side.device.pass_by, side.device.arrived, lamps, LOOPS_PER_S)
    for name, spent_s in processes.cpu_between(before, processes.cpu_seconds(side.stack)).items():
        side.cpu_s[name] += spent_s
    side.lost += len(lamps) - len(took_ms)
    side.took_ms.append(took_ms)


def _p99(took_ms: Sequence[float]) -> float:
    return statistics.quantiles(took_ms, n=100)[98]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--loops", type=int, default=LOOPS)
    arguments = parser.parse_args()
    sys.stdout.write(json.dumps(asyncio.run(measure(pairs=arguments.pairs, loops=arguments.loops)), indent=2) + "\n")


if __name__ == "__main__":
    main()
