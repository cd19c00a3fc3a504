"""A million random and mutated frames at every door, from somebody who has no credentials.

First so many at full speed that every pool and cache has its size; from there on resident memory may grow by ``RSS_MIB``.
Then the rest, and in the end the pace of a persistent nuisance, beside which others may wait ``WAIT_RATIO_MAX`` times as
long as usual: the 99th percentile of all their questions of loud windows over that of quiet ones, which alternate. They
ask from a process of their own, and the nuisance computes only when nobody else wants to: it has a machine of its own.
"""

import asyncio
import json
import re
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.faults.lab import ROOT
from tests.load.lab import directory
from tests.security.frames.sender import Order
from tests.security.neighbours import Waiting, waiting
from tests.security.outcome import Outcome, Plan

from maasloop.stack.local import LocalStack, StackOptions
from maasloop.stack.process import ManagedProcess

FRAMES = 1_000_000
WARM_UP_FRAMES = 20_000
PACED_FRAMES_PER_S = 1_000.0
WINDOW_S = 3.0
WINDOWS = 6
"""Of each kind, quiet and loud: together some 5,000 questions of each client, so that 50 lie beyond the percentile."""
PACE_MIN = 0.9
"""Share of the pace that must have come."""
SENT_WITHIN_S = 60.0
"""Longest end of a window: senders stop by themselves where the machine is too busy for them."""
SERVICES = ("device-registry", "consent", "ingest")
JUDGED_SCALE = 0.01
"""Share of a full run from which the waiting of others is judged as well."""
RSS_MIB = 32.0
WAIT_RATIO_MAX = 2.0
LOG_MIB_MAX = 96.0
FAULT = re.compile(
    rb"^panic:|^goroutine \d+ \[running\]|Traceback \(most recent call last\)|SIGSEGV|Fatal Python error", re.MULTILINE
)
FORESEEN = b'Traceback (most recent call last):\n  File "src/python/grpcio/grpc/_cython/_cygrpc/grpc_string.pyx.pxi"'
KEPT = Path(".maasloop/security/logs")
"""Where logs of processes lie that met what they did not foresee."""
KIB = 1_024


@dataclass(frozen=True, slots=True)
class _Door:
    """A listener and what is said to it."""

    language: str
    port: int
    share: float
    """Of the frames, by what they cost."""


async def run(plan: Plan) -> Outcome:
    """Attack a stack of its own."""
    with directory() as root:
        async with LocalStack(root, StackOptions(services=SERVICES)) as stack:
            return await _attack(stack, plan)


async def _attack(stack: LocalStack, plan: Plan) -> Outcome:
    doors = _doors(stack)
    pids = {name: process.pid for name, process in stack.processes.items()}
    sent = await _send(_orders(doors, min(WARM_UP_FRAMES, plan.cases(FRAMES)), plan.seed))
    before = _resident_mib(stack.processes)
    for part in range(2):
        sent += await _send(_orders(doors, plan.cases(FRAMES) // 2, plan.seed + 1 + part))
    after = _resident_mib(stack.processes)
    growth = {name: round(after[name] - before[name], 1) for name in before}
    waits, pace = list[_Wait](), PACED_FRAMES_PER_S
    if plan.scale >= JUDGED_SCALE:
        async with waiting(stack.directory.root) as others:
            waits, pace = await _waits(others, doors, plan)
    ended = [name for name, process in stack.processes.items() if not process.alive or process.pid != pids[name]]
    logs_mib = {name: process.log_path.stat().st_size / KIB**2 for name, process in stack.processes.items()}
    faults = {name: unforeseen(process.log_path) for name, process in stack.processes.items()}
    _keep([process.log_path for name, process in stack.processes.items() if faults[name]])
    ratio = max((wait.ratio for wait in waits), default=0.0)
    figures: dict[str, float | int] = {
        "fuzz_frames": sum(part["frames"] for part in sent),
        "fuzz_connections": sum(part["connections"] for part in sent),
        "crashes": len(ended) + sum(faults.values()),
        "rss_growth_mib": max(growth.values()),
        "others_p99_ratio": round(ratio, 2),
        "log_mib_max": round(max(logs_mib.values()), 1),
    }
    return Outcome.of(
        "frames before authentication",
        {
            "every process lives on": not ended,
            "no unforeseen error in a log": not any(faults.values()),
            f"memory grows by at most {RSS_MIB} MiB": max(growth.values()) <= RSS_MIB,
            f"others wait at most {WAIT_RATIO_MAX} times as long": ratio <= WAIT_RATIO_MAX,
            f"{PACED_FRAMES_PER_S:g} frames a second come meanwhile": pace >= PACE_MIN * PACED_FRAMES_PER_S,
            f"no log is larger than {LOG_MIB_MAX} MiB": max(logs_mib.values()) <= LOG_MIB_MAX,
            "most connections were taken": 2 * sum(part["refused"] for part in sent) < figures["fuzz_connections"],
        },
        figures=figures,
        notes=(
            f"growth by process, MiB: {growth}; before {before}",
            *(f"{wait}, {pace:.0f} a second" for wait in waits),
            *(f"{name} ended" for name in ended),
            *(f"{name}: {count} unforeseen errors, see {KEPT}" for name, count in faults.items() if count),
        ),
    )


def _doors(stack: LocalStack) -> list[_Door]:
    ingest = stack.addresses["ingest"]
    return [
        _Door("mqtt", stack.nats.ports.mqtt, 0.12),
        _Door("nats", stack.nats.ports.client, 0.13),
        _Door("http", _port(ingest.http), 0.3),
        _Door("grpc", _port(ingest.public), 0.35),
        # Without a certificate the handshake is as far as anybody gets.
        _Door("grpc", _port(ingest.grpc), 0.1),
    ]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _orders(doors: Sequence[_Door], frames: int, seed: int, frames_per_s: float = 0.0) -> list[Order]:
    return [
        Order(
            door.language,
            door.port,
            max(1, round(frames * door.share)),
            seed,
            tls=True,
            greeted=door.language == "nats",
            frames_per_s=frames_per_s * door.share,
        )
        for door in doors
    ]


async def _send(orders: Sequence[Order]) -> list[dict[str, float]]:
    """Give each order to a process of its own and wait for all."""
    return await _obeyed(await _senders(len(orders)), orders)


async def _senders(count: int) -> list[asyncio.subprocess.Process]:
    """Start processes and return when all are ready: their start is no part of what is measured."""
    pipe, module = asyncio.subprocess.PIPE, "tests.security.frames.sender"
    started = [
        await asyncio.create_subprocess_exec(sys.executable, "-m", module, cwd=ROOT, stdin=pipe, stdout=pipe)
        for _ in range(count)
    ]
    for process in started:
        assert process.stdout is not None
        await process.stdout.readline()
    return started


async def _obeyed(senders: Sequence[asyncio.subprocess.Process], orders: Sequence[Order]) -> list[dict[str, float]]:
    """Return what each process sent."""
    try:
        asked = (
            sender.communicate(json.dumps(asdict(order)).encode())
            for sender, order in zip(senders, orders, strict=True)
        )
        told = await asyncio.gather(*asked)
    finally:
        for sender in senders:
            if sender.returncode is None:
                sender.kill()
    if any(sender.returncode for sender in senders):
        message = f"senders ended with {[sender.returncode for sender in senders]}"
        raise RuntimeError(message)
    return [json.loads(out) for out, _ in told]


@dataclass(frozen=True, slots=True)
class _Wait:
    """How long a client waits for its answers, with and without the frames."""

    name: str
    quiet_ms: Sequence[float]
    loud_ms: Sequence[float]

    @property
    def ratio(self) -> float:
        return _p99(self.loud_ms) / _p99(self.quiet_ms)

    def __str__(self) -> str:
        return (
            f"{self.name}: p99 {_p99(self.quiet_ms):.2f} ms alone, {_p99(self.loud_ms):.2f} ms beside frames, "
            f"of {len(self.quiet_ms)} and {len(self.loud_ms)}"
        )


async def _waits(others: Waiting, doors: Sequence[_Door], plan: Plan) -> tuple[list[_Wait], float]:
    """Return how long each client waits, and how many frames came a second."""
    quiet: dict[str, list[float]] = {}
    loud: dict[str, list[float]] = {}
    paces: list[float] = []
    for window in range(WINDOWS):
        _add(quiet, await others.during(WINDOW_S))
        orders = _orders(doors, round(PACED_FRAMES_PER_S * WINDOW_S), plan.seed + 10 + window, PACED_FRAMES_PER_S)
        ready = await _senders(len(orders))
        sending = asyncio.create_task(_obeyed(ready, orders))
        _add(loud, await others.during(WINDOW_S))
        async with asyncio.timeout(SENT_WITHIN_S):
            told = await sending
        paces.append(sum(part["frames"] for part in told) / max(part["seconds"] for part in told))
    return [_Wait(name, took_ms, loud[name]) for name, took_ms in quiet.items()], statistics.median(paces)


def _add(to: dict[str, list[float]], taken: Mapping[str, list[float]]) -> None:
    for name, took_ms in taken.items():
        to.setdefault(name, []).extend(took_ms)


def _p99(took_ms: Sequence[float]) -> float:
    return statistics.quantiles(took_ms, n=100)[-1]


def _resident_mib(processes: Mapping[str, ManagedProcess]) -> dict[str, float]:
    """Return resident memory of every process but PostgreSQL's, at which nobody knocked."""
    found = {}
    for name, process in processes.items():
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        kib = re.search(r"VmRSS:\s+(\d+)", status)
        if kib is not None and name != "postgres":
            found[name] = round(int(kib[1]) / KIB, 1)
    return found


def _keep(logs: Sequence[Path]) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    for log in logs:
        shutil.copy(log, KEPT / log.name)


def unforeseen(log: Path) -> int:
    """Count what no handler foresaw: panics of Go, tracebacks of Python, aborts of C."""
    text = log.read_bytes()
    # gRPC tells so that a header is no text, and goes on with it as Latin-1.
    return len(FAULT.findall(text)) - text.count(FORESEEN)
