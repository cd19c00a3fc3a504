"""Where the processor time of the data path goes, as a flame picture and its biggest costs.

``perf`` samples every processor: how much of the time a process has, and the functions of what is no Python. Stacks of
Python come from ``py-spy``, since Python is built without frame pointers here; they share out what ``perf`` saw of their
process. Needs perf, py-spy, and the right to use them.
"""

import argparse
import asyncio
import html
import os
import re
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.load import doors, machine
from tests.load.lab import BENCHES, Lab, laboratory
from tests.load.processes import CLIENT

from maasloop.stack.process import descendants

PICTURE = Path("docs/reports/data-path.svg")
HERTZ = 199
SECONDS = 200
COSTS = 12
PYTHON = ("ingest", "timeseries")
"""Services whose stacks are taken: they have the time of this path."""
PASSED_ON = 0.9
COST_MAX, COST_MIN = 0.3, 0.02
"""Shares of all samples within which a function with all that it calls is told: more is the whole path, less is little."""
_SPY = Path(sys.executable).with_name("py-spy")
_WIDTH, _ROW, _LEAST, _LETTER = 1_200, 17, 3.0, 6.6
_TIMEOUT_S = 180
_FRAME = re.compile(r"^\s*[0-9a-f]+\s+(.+?)(?:\s+\(([^()]*)\))?$")

type Stacks = Counter[tuple[str, ...]]


async def record(seconds: int, rows: int, folder: Path) -> Stacks:
    """Send rows while every processor is sampled; return the stacks."""
    async with laboratory() as lab:
        await doors.grpc_batches(lab, seconds=10, rows=rows)
        await lab.empty()
        await _recorded(lab, seconds, rows, folder)
        names = {str(os.getpid()): CLIENT}
        for service, process in lab.stack.processes.items():
            assert process.pid is not None
            names |= {str(pid): service for pid in (process.pid, *descendants(process.pid))}
    stacks = folded((folder / "perf.txt").read_text(encoding="utf-8", errors="replace"), names)
    for name in PYTHON:
        stacks = shared_out(stacks, name, spied((folder / name).read_text(encoding="utf-8")))
    return stacks


async def _recorded(lab: Lab, seconds: int, rows: int, folder: Path) -> None:
    data = folder / "perf.data"
    commands = [
        [
            "perf",
            "record",
            "-q",
            "-a",
            "--call-graph",
            "dwarf,4096",
            "-e",
            "cpu-clock",
            "-F",
            str(HERTZ),
            "-o",
            str(data),
        ]
    ]
    for name in PYTHON:
        pid = str(lab.stack.processes[name].pid)
        spy = [
            "record",
            "--nonblocking",
            "--function",
            "--format",
            "raw",
            "--rate",
            str(HERTZ),
            "--duration",
            str(_TIMEOUT_S),
        ]
        commands.append([str(_SPY), *spy, "--pid", pid, "--output", str(folder / name)])
    null = asyncio.subprocess.DEVNULL
    samplers = [await asyncio.create_subprocess_exec(*command, stdout=null, stderr=null) for command in commands]
    try:
        await asyncio.sleep(1.0)
        await doors.grpc_batches(lab, seconds=seconds, rows=rows)
    finally:
        for sampler in samplers:
            # Both write what they have when they are interrupted.
            sampler.send_signal(signal.SIGINT)
        for sampler in samplers:
            await asyncio.wait_for(sampler.wait(), _TIMEOUT_S)
    with (folder / "perf.txt").open("wb") as output:
        script = await asyncio.create_subprocess_exec(
            "perf", "script", "-i", str(data), "-F", "comm,pid,ip,sym,dso", stdout=output, stderr=null
        )
        await asyncio.wait_for(script.wait(), _TIMEOUT_S)


def folded(text: str, names: Mapping[str, str]) -> Stacks:
    """Return how often each stack of the named processes was seen, outermost frame first; ``names`` are by process id.

    Addresses without a name are left out; where the processor was in one, the file is told that it was in.
    """
    stacks: Stacks = Counter()
    for block in text.split("\n\n"):
        lines = block.strip("\n").splitlines()
        if not lines or not lines[0].strip():
            continue
        _, pid = lines[0].rsplit(maxsplit=1)
        process = names.get(pid)
        frames = [found.groups() for line in lines[1:] if (found := _FRAME.match(line))]
        named = [symbol for symbol, _ in frames if symbol != "[unknown]"]
        if frames and frames[0][0] == "[unknown]":
            named = [f"in {Path(frames[0][1] or 'unknown').name}", *named]
        if process is not None:
            stacks[process, *reversed(named)] += 1
    return stacks


def spied(text: str) -> Stacks:
    """Return the stacks that py-spy wrote, outermost frame first."""
    stacks: Stacks = Counter()
    for line in text.splitlines():
        path, _, count = line.rpartition(" ")
        if count.isdigit():
            stacks[tuple(frame.strip() for frame in path.split(";") if not frame.startswith("process "))] += int(count)
    return stacks


def shared_out(stacks: Stacks, process: str, python: Stacks) -> Stacks:
    """Return stacks with those of a process replaced by its Python stacks, of the same weight together."""
    weight = sum(seen for stack, seen in stacks.items() if stack[0] == process)
    total = sum(python.values())
    if not weight or not total:
        return stacks
    kept: Stacks = Counter({stack: seen for stack, seen in stacks.items() if stack[0] != process})
    for stack, seen in python.items():
        kept[process, *stack] += seen * weight / total  # type: ignore[assignment]  # a Counter of shares, which mypy takes for whole numbers
    return kept


def costs(stacks: Stacks, count: int = COSTS) -> list[dict[str, Any]]:
    """Return the functions that most samples were in themselves."""
    total = sum(stacks.values()) or 1
    own: Counter[tuple[str, str]] = Counter()
    for stack, seen in stacks.items():
        # Where the last function has no name, its caller tells more.
        nameless = stack[-1].startswith("in ") and len(stack) > 2
        own[stack[0], f"{stack[-2]}, {stack[-1]}" if nameless else stack[-1]] += seen
    return _told(own, total, count)


def whole_costs(stacks: Stacks, count: int = COSTS) -> list[dict[str, Any]]:
    """Return the functions that most samples were in or below, without those that only call one of the others."""
    total = sum(stacks.values()) or 1
    within: Counter[tuple[str, str]] = Counter()
    calls: Counter[tuple[str, str, str]] = Counter()
    for stack, seen in stacks.items():
        for function in set(stack[1:]):
            within[stack[0], function] += seen
        for caller, called in set(pairwise(stack[1:])):
            calls[stack[0], caller, called] += seen
    only_call = {
        (process, caller) for (process, caller, _), seen in calls.items() if seen > PASSED_ON * within[process, caller]
    }
    apart = {key: seen for key, seen in within.items() if COST_MIN <= seen / total <= COST_MAX and key not in only_call}
    return _told(Counter(apart), total, count)


def _told(samples: Counter[tuple[str, str]], total: int, count: int) -> list[dict[str, Any]]:
    return [
        {"share": seen / total, "process": process, "function": function}
        for (process, function), seen in samples.most_common(count)
    ]


def by_process(stacks: Stacks) -> dict[str, float]:
    """Return each process' share of all samples, without what has next to none."""
    total = sum(stacks.values()) or 1
    seen: Counter[str] = Counter()
    for stack, count in stacks.items():
        seen[stack[0]] += count
    return {name: round(count / total, 3) for name, count in seen.most_common() if count / total >= 1 / 200}


def picture(stacks: Stacks) -> str:
    """Return a flame picture: width is time, a frame stands on its caller."""
    total = sum(stacks.values()) or 1
    boxes: list[str] = []
    depth_max = 0

    def draw(members: list[tuple[tuple[str, ...], int]], depth: int, left: float) -> None:
        nonlocal depth_max
        groups: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for stack, seen in members:
            if len(stack) > depth:
                groups.setdefault(stack[depth], []).append((stack, seen))
        for name, group in sorted(groups.items()):
            width = _WIDTH * sum(seen for _, seen in group) / total
            if width >= _LEAST:
                depth_max = max(depth_max, depth)
                boxes.append(_box(name, depth, left, width))
                draw(group, depth + 1, left)
            left += width

    draw(list(stacks.items()), 0, 0.0)
    height = (depth_max + 1) * _ROW
    style = "text{font:11px monospace}rect{stroke:#fff;stroke-width:.5}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"><style>{style}</style>'
        + "".join(boxes)
        + "</svg>\n"
    )


def _box(name: str, depth: int, left: float, width: float) -> str:
    hue = sum(name.encode()) % 50
    shown = html.escape(name[: int(width / _LETTER)]) if width > 3 * _LETTER else ""
    top = depth * _ROW
    return (
        f'<g><title>{html.escape(name)} ({width / _WIDTH:.1%})</title><rect x="{left:.1f}" y="{top}" '
        f'width="{width:.1f}" height="{_ROW - 1}" fill="hsl({hue},80%,65%)"/>'
        f'<text x="{left + 2:.1f}" y="{top + 12}">{shown}</text></g>'
    )


def main() -> int:
    """Record, draw, and return the exit status."""
    parser = argparse.ArgumentParser(prog="profile", description=__doc__)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="street seconds; 10,000 rows each")
    parser.add_argument("--rows", type=int, default=1_000, help="rows a message")
    arguments = parser.parse_args()
    missing = [name for name in ("perf", str(_SPY)) if shutil.which(name) is None]
    if missing:
        print(f"{', '.join(missing)} missing: apt-get install linux-perf, uv sync")
        return 1
    about = machine.about()
    with tempfile.TemporaryDirectory() as name:
        stacks = asyncio.run(record(arguments.seconds, arguments.rows, Path(name)))
    PICTURE.write_text(picture(stacks), encoding="utf-8")
    found = costs(stacks)
    machine.write(
        BENCHES / "profile.json",
        {
            "machine": about,
            "samples": round(sum(stacks.values())),
            "processes": by_process(stacks),
            "costs": found,
            "whole_costs": whole_costs(stacks, 2 * COSTS),
        },
    )
    print(by_process(stacks))
    for cost in [*found, *whole_costs(stacks, 2 * COSTS)]:
        print(f"{cost['share']:6.1%}  {cost['process']:20} {cost['function']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
