"""How many junctions one core decides upon each second: ``python -m tests.signals.scale --help``.

Junctions of real networks are cloned, and each clone hears what the detectors of its original said in a recorded run. A
clone decides by itself and its field device plays what it asked for, so it must show what the original showed.
"""

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.load import machine
from tests.load.figures import percentile
from tests.signals.desk import Desk
from tests.signals.plan import DETECTIONS
from tests.signals.senses import Loops, Seen, Senses

from maasloop.actuation.domain.signals.controller import Controller
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.traffic.area import VehicleSeen
from maasloop.actuation.domain.signals.traffic.estimate import Expected, LoopReading
from maasloop.actuation.domain.signals.traffic.neighbourhood import NOTHING_HEARD, Hears, Neighbourhood
from maasloop.runtime.collecting import THRESHOLDS
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.simulation import SimulationOptions, StreetSimulation
from maasloop.twin.street.site import Junction, read_site

BENCH = Path(".maasloop/bench").resolve()
SCENARIOS = "cologne8 grid4x4"
SEED = 1
RECORD_TIMEOUT_S = 1_200.0
START_S = 10
"""Seconds in which each clone makes its plans once; they are told apart."""
DECISION_MS_MAX = 20.0
"""Limit of the 99th percentile of a decision."""

Second = tuple[int, Loops, Seen | None, Hears, str]
"""A second of the street, what detectors and neighbours of a junction said about it, and what it showed."""


@dataclass(frozen=True)
class Recording:
    """A junction and what was heard of it, second by second from the first one on."""

    junction: Junction
    seconds: Sequence[Second]


def record(scenario: str, detection: str, seconds: int, file: Path) -> None:
    """Run a scenario under its controllers and write down what they heard; once a process."""
    site = read_site(load_scenario(scenario))
    options = SimulationOptions(record_states=False)
    with (
        file.open("w", encoding="utf-8") as out,
        StreetSimulation(site, seed=SEED, duration_s=seconds, work_dir=file.parent, options=options) as street,
    ):
        senses = Senses(street, detection, dead=0.0, seed=SEED)
        desks = {junction.id: desk_of(junction) for junction in site.junctions}
        neighbourhood = Neighbourhood(desk.sheet for desk in desks.values())
        heard: Mapping[str, Hears] = {}
        for _ in range(seconds):
            second = street.field_s
            for junction_id, desk in desks.items():
                street.show(junction_id, desk.device.tick(second))
            street.step()
            senses.sense()
            states = street.signal_states()
            told = {}
            for junction_id, desk in desks.items():
                loops, seen = senses.loops(desk.junction), senses.seen(desk.junction)
                said = heard.get(junction_id, NOTHING_HEARD)
                desk.decide(second, states[junction_id], loops, seen, said)
                told[junction_id] = [*_written(loops, seen), _said(said), states[junction_id]]
            heard = neighbourhood.pass_on({name: desk.says for name, desk in desks.items()})
            out.write(json.dumps({"second": second, "heard": told}) + "\n")


def recordings(scenario: str, detection: str, seconds: int) -> list[Recording]:
    """Record a scenario in a process of its own, and read what it wrote."""
    with tempfile.TemporaryDirectory(prefix="maasloop-scale-") as scratch:
        file = Path(scratch) / "heard.jsonl"
        command = [sys.executable, "-m", "tests.signals.scale", "--record", scenario, "--into", str(file)]
        command += ["--detection", detection, "--seconds", str(seconds)]
        subprocess.run(command, check=True, timeout=RECORD_TIMEOUT_S)
        heard = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    site = read_site(load_scenario(scenario))
    return [Recording(one, [_read(told["second"], told["heard"][one.id]) for told in heard]) for one in site.junctions]


def measure(originals: Sequence[Recording], count: int) -> dict[str, Any]:
    """Let so many clones decide second after second, and return the figures; times are processor times."""
    clones = [(desk_of(one.junction), one) for one in (originals[n % len(originals)] for n in range(count))]
    # As services do: what is kept for life is left out of collections.
    gc.set_threshold(*THRESHOLDS)
    gc.collect()
    gc.freeze()
    seconds_s: list[float] = []
    differing = 0
    for index in range(len(originals[0].seconds)):
        began_s = time.thread_time()
        for desk, original in clones:
            second, loops, seen, heard, shown = original.seconds[index]
            state = desk.device.tick(second)
            differing += state != shown
            desk.decide(second, state, loops, seen, heard)
        seconds_s.append(time.thread_time() - began_s)
    times_ms = [one for desk, _ in clones for one in desk.times_ms[START_S:]]
    start_s, seconds_s = seconds_s[:START_S], seconds_s[START_S:]
    return {
        "junctions": count,
        "originals": len(originals),
        "street_seconds": len(seconds_s),
        "decision_ms_mean": round(sum(times_ms) / len(times_ms), 3),
        "decision_ms_p50": round(percentile(times_ms, 50), 3),
        "decision_ms_p99": round(percentile(times_ms, 99), 3),
        "decision_ms_max": round(max(times_ms), 3),
        "core_share_mean": round(sum(seconds_s) / len(seconds_s), 3),
        "core_share_p99": round(percentile(seconds_s, 99), 3),
        "core_share_max": round(max(seconds_s), 3),
        "core_share_at_start": round(max(start_s), 3),
        "states_differing": differing,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> int:
    """Run the bench and return the exit status: 1 where a second takes longer than a second, or a decision too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenarios", default=SCENARIOS, help="of the wheel by name, or paths to a .sumocfg")
    parser.add_argument("--junctions", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--detection", default="area", choices=DETECTIONS)
    parser.add_argument("--record", help="scenario to write down (what the bench starts by itself)")
    parser.add_argument("--into", type=Path, help="file to write it down in")
    arguments = parser.parse_args()
    if arguments.record:
        record(arguments.record, arguments.detection, arguments.seconds, arguments.into)
        return 0
    about = {**machine.about(), "sumo": version("libsumo")}
    scenarios = arguments.scenarios.split()
    originals = [one for name in scenarios for one in recordings(name, arguments.detection, arguments.seconds)]
    figures = measure(originals, arguments.junctions)
    told = {"machine": about, "scenarios": scenarios, "detection": arguments.detection, **figures}
    machine.write(BENCH / "signals-scale.json", told)
    for name, value in {"detection": arguments.detection, **figures}.items():
        print(f"{name:<18} {value}")
    kept = figures["decision_ms_p99"] <= DECISION_MS_MAX and figures["core_share_mean"] <= 1.0
    return 0 if kept and not figures["states_differing"] else 1


def desk_of(junction: Junction) -> Desk:
    """Return a desk with the controller of a junction."""
    sheet = read_sheet(junction.sheet)
    return Desk(junction, sheet, lambda: Controller(sheet))


def _written(loops: Loops, seen: Seen | None) -> list[Any]:
    vehicles = {} if seen is None else {lane: [astuple(one) for one in found] for lane, found in seen.items()}
    return [{name: (one.count, one.occupancy) for name, one in loops.items()}, vehicles]


def _said(heard: Hears) -> list[Any]:
    coming = {lane: [(one.at_s, one.weight) for one in who] for lane, who in heard.coming.items()}
    return [sorted(heard.held_back), sorted(heard.standing), coming, sorted(heard.sent_to)]


def _read(second: int, told: list[Any]) -> Second:
    loops, vehicles, (held_back, standing, coming, sent_to), shown = told
    heard = Hears(
        held_back=frozenset(held_back),
        standing=frozenset(standing),
        coming={lane: tuple(Expected(*one) for one in who) for lane, who in coming.items()},
        sent_to=frozenset(sent_to),
    )
    seen = {lane: [VehicleSeen(*one) for one in found] for lane, found in vehicles.items()}
    return second, {name: LoopReading(*one) for name, one in loops.items()}, seen or None, heard, shown


if __name__ == "__main__":
    sys.exit(main())
