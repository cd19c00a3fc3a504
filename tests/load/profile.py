"""Where the processor time of the data path goes: ``perf`` over all processes, as a flame picture and its biggest costs.

Python frames are named by the interpreter's own perf maps (``PYTHONPERFSUPPORT``). Needs perf and the right to use it.
"""

import argparse
import asyncio
import html
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.load import doors, machine
from tests.load.lab import BENCHES, Lab, laboratory
from tests.load.processes import CLIENT

PICTURE = Path("docs/reports/data-path.svg")
HERTZ = 199
SECONDS = 200
COSTS = 12
_WIDTH, _ROW, _LEAST, _LETTER = 1_200, 17, 3.0, 6.6
_TIMEOUT_S = 180

type Stacks = Counter[tuple[str, ...]]


async def record(seconds: int, rows: int, data: Path) -> dict[str, str]:
    """Send rows while perf samples every processor; return the names of services by their process ids."""
    environment = {"PYTHONPERFSUPPORT": "1"}
    async with laboratory(environment=environment) as lab:
        await doors.grpc_batches(lab, seconds=10, rows=rows)
        await lab.store.empty()
        await _recorded(lab, seconds, rows, data)
        names = {str(process.pid): service for service, process in lab.stack.services.items()}
    for pid in names:
        # The interpreters leave these behind.
        await asyncio.to_thread(Path(f"/tmp/perf-{pid}.map").unlink, missing_ok=True)
    return {**names, str(os.getpid()): CLIENT}


async def _recorded(lab: Lab, seconds: int, rows: int, data: Path) -> None:
    command = ["perf", "record", "-q", "-a", "-g", "-F", str(HERTZ), "-o", str(data)]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        await asyncio.sleep(0.5)
        await doors.grpc_batches(lab, seconds=seconds, rows=rows)
    finally:
        process.terminate()
        await process.wait()
    # The interpreters' maps are read while their processes are there.
    script = await asyncio.create_subprocess_exec(
        "perf", "script", "-i", str(data), "-F", "comm,pid,ip,sym",
        stdout=data.with_suffix(".txt").open("wb"), stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    await asyncio.wait_for(script.wait(), _TIMEOUT_S)


def folded(text: str, names: Mapping[str, str]) -> Stacks:
    """Return how often each stack was seen, outermost frame first, without idle time; ``names`` are by process id."""
    stacks: Stacks = Counter()
    for block in text.split("\n\n"):
        lines = block.splitlines()
        if not lines or not lines[0].strip():
            continue
        command, pid = lines[0].rsplit(maxsplit=1)
        process = names.get(pid, command.strip())
        frames = [line.split(maxsplit=1)[1] for line in lines[1:] if len(line.split(maxsplit=1)) > 1]
        if process != "swapper":
            stacks[process, *reversed(frames)] += 1
    return stacks


def costs(stacks: Stacks, count: int = COSTS) -> list[dict[str, Any]]:
    """Return the functions that most samples were in themselves."""
    total = sum(stacks.values()) or 1
    own: Counter[tuple[str, str]] = Counter()
    for stack, seen in stacks.items():
        own[stack[0], stack[-1]] += seen
    return [
        {"share": seen / total, "process": process, "function": function}
        for (process, function), seen in own.most_common(count)
    ]


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
    if shutil.which("perf") is None:
        print("perf is missing: apt-get install linux-perf")
        return 1
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "perf.data"
        names = asyncio.run(record(arguments.seconds, arguments.rows, data))
        stacks = folded(data.with_suffix(".txt").read_text(encoding="utf-8", errors="replace"), names)
    PICTURE.write_text(picture(stacks), encoding="utf-8")
    found = costs(stacks)
    machine.write(
        BENCHES / "profile.json", {"machine": machine.about(), "samples": sum(stacks.values()), "costs": found}
    )
    for cost in found:
        print(f"{cost['share']:6.1%}  {cost['process']:20} {cost['function']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
