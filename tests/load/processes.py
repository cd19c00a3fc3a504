"""What the processes of a stack cost: processor seconds, memory and descriptors, read from /proc.

Memory of PostgreSQL is its proportional set size, since its processes share their buffers; of every other process it is
the resident set. Peaks are the kernel's own high-water marks, except PostgreSQL's, which is the highest sample.
"""

import asyncio
import contextlib
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from tests.load.figures import slope_an_hour

from maasloop.stack.local import LocalStack
from maasloop.stack.process import descendants

KIB_A_MIB = 1_024
CLIENT = "load client"
POSTGRES = "postgres"
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_FORGET_PEAK = "5"
"""Written to ``clear_refs``: the kernel forgets the peak of the resident set."""


def cpu_seconds(stack: LocalStack) -> dict[str, float]:
    """Return processor seconds so far of each process, with those of PostgreSQL by what they do."""
    found: defaultdict[str, float] = defaultdict(float)
    found[CLIENT] = _seconds(os.getpid())
    for name, pid in _pids(stack):
        if name != POSTGRES:
            found[name] += _seconds(pid)
            continue
        for member in (pid, *descendants(pid)):
            seconds = _seconds(member)
            found[POSTGRES] += seconds
            found[f"{POSTGRES}: {_work_of(member)}"] += seconds
    return dict(found)


def cpu_between(before: dict[str, float], after: dict[str, float], *, million_rows: float = 1.0) -> dict[str, float]:
    """Return processor seconds for each million rows, without what did next to nothing."""
    spent = {name: (seconds - before.get(name, 0.0)) / million_rows for name, seconds in after.items()}
    return {name: round(seconds, 3) for name, seconds in sorted(spent.items()) if round(seconds, 3) > 0}


def resident_mib(stack: LocalStack) -> dict[str, float]:
    """Return the memory of each process now."""
    return {name: _pss_mib(pid) if name == POSTGRES else _status_mib(pid, "VmRSS") for name, pid in _pids(stack)}


def peak_mib(stack: LocalStack) -> dict[str, float]:
    """Return the highest resident memory of each process but PostgreSQL since ``forget_peaks``."""
    return {name: _status_mib(pid, "VmHWM") for name, pid in _pids(stack) if name != POSTGRES}


def forget_peaks(stack: LocalStack) -> None:
    """Begin the high-water marks anew."""
    for _, pid in _pids(stack):
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text(_FORGET_PEAK, encoding="ascii")


def descriptors(stack: LocalStack) -> dict[str, int]:
    """Return the open descriptors of each process, of PostgreSQL those of all its processes."""
    return {
        name: sum(open_descriptors(member) for member in ((pid, *descendants(pid)) if name == POSTGRES else (pid,)))
        for name, pid in _pids(stack)
    }


def open_descriptors(pid: int) -> int:
    """Return how many a process has open, none where it ended meanwhile, as backends of PostgreSQL do at any time."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


@dataclass
class Samples:
    """Memory and descriptors of each process over time."""

    at_s: list[float] = field(default_factory=list)
    memory_mib: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    descriptors: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def take(self, stack: LocalStack, at_s: float) -> None:
        """Add a sample; one that is under way when ``slopes`` are told is in none of them."""
        for name, mib in resident_mib(stack).items():
            self.memory_mib[name].append(mib)
        for name, count in descriptors(stack).items():
            self.descriptors[name].append(count)
        self.at_s.append(at_s)

    def peaks_mib(self) -> dict[str, float]:
        """Return the highest sample of each process."""
        return {name: max(values) for name, values in self.memory_mib.items()}

    def memory_by_sixth(self) -> dict[str, list[float]]:
        """Return the mean memory (MiB) of each process in each sixth of the samples: a slope that ends is seen there."""
        told = {}
        for name, values in self.memory_mib.items():
            parts = pairwise(len(values) * sixth // 6 for sixth in range(7))
            told[name] = [round(fmean(values[first:last]), 1) for first, last in parts if first < last]
        return told

    def slopes(self, *, from_s: float) -> dict[str, dict[str, float]]:
        """Return the growth an hour of memory (MiB) and descriptors after a warm-up."""
        first = next((index for index, at_s in enumerate(self.at_s) if at_s >= from_s), 0)
        at_s, last = self.at_s[first:], len(self.at_s)
        return {
            "memory_mib_an_hour": {
                name: round(slope_an_hour(at_s, values[first:last]), 2) for name, values in self.memory_mib.items()
            },
            "descriptors_an_hour": {
                name: round(slope_an_hour(at_s, values[first:last]), 2) for name, values in self.descriptors.items()
            },
        }


@asynccontextmanager
async def sampled(stack: LocalStack, every_s: float) -> AsyncIterator[Samples]:
    """Sample the processes while the block runs."""
    samples, began_s = Samples(), time.perf_counter()

    async def run() -> None:
        while True:
            await asyncio.to_thread(samples.take, stack, time.perf_counter() - began_s)
            await asyncio.sleep(every_s)

    task = asyncio.create_task(run(), name="samples")
    try:
        yield samples
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        samples.take(stack, time.perf_counter() - began_s)


def _pids(stack: LocalStack) -> Iterator[tuple[str, int]]:
    for name, process in stack.processes.items():
        if process.alive:
            yield name, process.pid


def _seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


def _work_of(pid: int) -> str:
    """Return what a process of PostgreSQL says it does: a role for a connection, or its name."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace").split()
    except OSError:
        return "ended"
    if not words or not words[0].startswith("postgres:"):
        return "postmaster"
    names = words[1:]
    return " ".join(names[:2]) if "launcher" in names or "writer" in names else names[0]


def _status_mib(pid: int, field_name: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    kib = next((line.split()[1] for line in lines if line.startswith(f"{field_name}:")), "0")
    return round(int(kib) / KIB_A_MIB, 1)


def _pss_mib(pid: int) -> float:
    total_kib = 0
    for member in (pid, *descendants(pid)):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{member}/smaps_rollup").read_text(encoding="utf-8").splitlines()
            total_kib += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return round(total_kib / KIB_A_MIB, 1)
