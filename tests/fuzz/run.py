"""Fuzz every codec and every door's decoder, and print what came of it: ``make fuzz``.

Each target is run over its bombs and seeds, then with mutations of our own, then guided by coverage (atheris) where that
is installed. Every payload must be decoded or refused with a reason; those of the corpus and the slowest that were found
are measured again: at most ``LIMIT_MS`` of CPU time and ``LIMIT_MIB`` of memory for any payload of 64 KiB.
"""

import argparse
import heapq
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.fuzz.bombs import bombs
from tests.fuzz.measure import cpu_ms, outcome, peak_mib
from tests.fuzz.mutators import payloads
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

LIMIT_MS = 10.0
LIMIT_MIB = 16.0
EXECUTIONS = 4_000_000
SECONDS = 480.0
GUIDED_SHARE = 0.25
"""Of the executions, and of the time, that are guided by coverage."""
MEASURED_MAX = 24
"""The slowest payloads of a target that are measured again."""
AGAIN_MAX = 10
"""So often a payload that seems too slow is measured anew."""
FAULTS_SHOWN_MAX = 5
REPORT = Path(".maasloop") / "fuzz" / "report.json"
FAULTS = Path(".maasloop") / "fuzz" / "faults"


@dataclass(slots=True)
class Report:
    """What came of one target."""

    target: str
    executions: int = 0
    guided: int = 0
    """Of the executions, those guided by coverage."""
    outcomes: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    slowest_ms: float = 0.0
    slowest: str = ""
    largest_mib: float = 0.0
    largest: str = ""

    @property
    def good(self) -> bool:
        """Tell whether nothing escaped and every limit holds."""
        return not self.faults and self.slowest_ms <= LIMIT_MS and self.largest_mib <= LIMIT_MIB


class Fuzzing:
    """The fuzzing of one target by mutations of our own."""

    def __init__(self, target: Target) -> None:
        self.report = Report(target.name)
        self._target = target
        self._slow: list[tuple[int, int, str, bytes]] = []

    def corpus(self) -> None:
        """Run bombs and seeds, and measure each."""
        for name, payload in bombs(self._target):
            self._run(name, payload)
            self._weigh(name, payload)

    def mutate(self, seed: int, executions: int, deadline_s: float) -> None:
        """Run mutations."""
        for count, payload in enumerate(payloads(self._target, seed), 1):
            self._run(f"mutation {count}", payload)
            if count >= executions or (count % 256 == 0 and time.monotonic() > deadline_s):
                break
        for _, _, name, payload in self._slow:
            self._weigh(name, payload)

    def _run(self, name: str, payload: bytes) -> None:
        start_ns = time.thread_time_ns()
        try:
            became = outcome(self._target.run, payload)
            self.report.outcomes[became] = self.report.outcomes.get(became, 0) + 1
        except Exception as error:
            self._fault(f"{type(error).__name__}: {error}", payload)
        took_ns = time.thread_time_ns() - start_ns
        self.report.executions += 1
        entry = (took_ns, self.report.executions, name, payload)
        if len(self._slow) < MEASURED_MAX:
            heapq.heappush(self._slow, entry)
        elif took_ns > self._slow[0][0]:
            heapq.heapreplace(self._slow, entry)

    def _weigh(self, name: str, payload: bytes) -> None:
        took_ms, took_mib = cpu_ms(self._target.run, payload), peak_mib(self._target.run, payload)
        for _ in range(AGAIN_MAX):
            # What else runs here only adds: what a payload costs by itself is the least that is seen.
            if took_ms <= LIMIT_MS:
                break
            took_ms = min(took_ms, cpu_ms(self._target.run, payload))
        report = self.report
        if took_ms > report.slowest_ms:
            report.slowest_ms, report.slowest = round(took_ms, 2), name
        if took_mib > report.largest_mib:
            report.largest_mib, report.largest = round(took_mib, 2), name

    def _fault(self, sentence: str, payload: bytes) -> None:
        self.report.faults.append(sentence[:200])
        if len(self.report.faults) <= FAULTS_SHOWN_MAX:
            FAULTS.mkdir(parents=True, exist_ok=True)
            (FAULTS / f"{self._target.name}-{len(self.report.faults)}").write_bytes(payload)


def guide(report: Report, target: Target, seed: int, executions: int, seconds: float) -> None:
    """Fuzz by coverage in a process of its own, and add what came of it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "corpus"
        folder.mkdir()
        for number, payload in enumerate(target.seeds):
            (folder / str(number)).write_bytes(payload)
        command = [sys.executable, "-m", "tests.fuzz.guided", target.name, str(executions), str(int(seconds) or 1)]
        command += [str(seed), str(folder)]
        ended = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
        done = re.search(r"number_of_executed_units:\s*(\d+)", ended.stderr)
        count = int(done[1]) if done else 0
        report.executions += count
        report.guided += count
        if ended.returncode:
            tail = [line for line in ended.stderr.splitlines() if line.strip()]
            told = next((line for line in tail if "Error" in line or "Exception" in line), "")
            report.faults.append(f"guided: {told or tail[-1:]}")
            FAULTS.mkdir(parents=True, exist_ok=True)
            for found in Path(scratch).glob("fault-*"):
                (FAULTS / found.name).write_bytes(found.read_bytes())


def fuzz(targets: Iterable[Target], seed: int, executions: int, seconds: float, *, guided: bool) -> list[Report]:
    """Fuzz targets one after the other."""
    chosen = list(targets)
    own = round(executions / len(chosen) * (1.0 - (GUIDED_SHARE if guided else 0.0)))
    share_s = seconds / len(chosen)
    reports = []
    for target in chosen:
        fuzzing, start_s = Fuzzing(target), time.monotonic()
        fuzzing.corpus()
        fuzzing.mutate(seed, own, start_s + share_s * (1.0 - GUIDED_SHARE))
        report = fuzzing.report
        if guided:
            left = max(round(executions / len(chosen)) - report.executions, 1)
            guide(report, target, seed, left, max(start_s + share_s - time.monotonic(), 1.0))
        reports.append(report)
        _say(_line(report))
    return reports


def _line(report: Report) -> str:
    decoded = report.outcomes.get("decoded", 0)
    return (
        f"{report.target:<18}{report.executions:>10,}{decoded:>10,}{len(report.faults):>8}"
        f"{report.slowest_ms:>9.2f}{report.largest_mib:>8.2f}  {report.slowest}; {report.largest}"
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> None:
    """Fuzz, print, write the report; exit status 1 where something escaped or a limit does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--executions", type=int, default=EXECUTIONS, help="in all, over every target")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="in all")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--target", action="append", choices=[target.name for target in TARGETS])
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    arguments = parser.parse_args()
    chosen = [target for target in TARGETS if not arguments.target or target.name in arguments.target]
    _say(f"{'target':<18}{'runs':>10}{'decoded':>10}{'faults':>8}{'ms':>9}{'MiB':>8}  slowest; largest")
    guided = importlib.util.find_spec("atheris") is not None
    reports = fuzz(chosen, arguments.seed, arguments.executions, arguments.seconds, guided=guided)
    total = sum(report.executions for report in reports)
    good = all(report.good for report in reports)
    document = {
        "seed": arguments.seed,
        "executions": total,
        "guided": sum(report.guided for report in reports),
        "faults": sum(len(report.faults) for report in reports),
        "slowest_ms": max(report.slowest_ms for report in reports),
        "largest_mib": max(report.largest_mib for report in reports),
        "limits": {"ms": LIMIT_MS, "mib": LIMIT_MIB},
        "targets": [asdict(report) for report in reports],
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(document, indent=2))
    if arguments.json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    for report in reports:
        for fault in report.faults[:FAULTS_SHOWN_MAX]:
            _say(f"{report.target}: {fault}")
    _say(f"{total:,} executions, {document['faults']} faults, report in {REPORT}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
