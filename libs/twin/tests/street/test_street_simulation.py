"""SUMO behind its typed door, in child processes: repeatable delays, loops that count, states that are recorded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from maasloop.twin.play.baseline import Baseline
from maasloop.twin.street.delay import mean_delay_s
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.simulation import StreetSimulation
from maasloop.twin.street.site import read_site

# Child processes that load SUMO, on a machine that may be busy.
pytestmark = pytest.mark.timeout(240)

RUN = """
import json, sys
from pathlib import Path
from maasloop.twin.street.judge import judge_run
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.signals import SignalDevice
from maasloop.twin.street.simulation import StreetSimulation
from maasloop.twin.street.site import read_site
site = read_site(load_scenario("cologne1"))
devices = {junction.id: SignalDevice(junction) for junction in site.junctions}
counts = {}
with StreetSimulation(site, seed=1, duration_s=120, work_dir=Path(sys.argv[1])) as street:
    for _ in range(120):
        for name, device in devices.items():
            street.show(name, device.tick(street.second + 1))
        street.step()
        for name, reading in street.loop_readings().items():
            assert 0.0 <= reading.occupancy <= 1.0
            kind = site.loops[name].kind
            counts[kind] = counts.get(kind, 0) + reading.count
try:
    StreetSimulation(site, seed=1, duration_s=1, work_dir=Path(sys.argv[1])).start()
    second = "started"
except RuntimeError as error:
    second = str(error)
found = judge_run(site.scenario.net, street.states_file)
print(json.dumps({"counts": counts, "violations": len(found), "second": second}))
"""


async def test_the_fixed_plan_is_repeatable(tmp_path: Path) -> None:
    """The same seed and seconds give the same mean delay under the network's own plan."""
    delays = []
    for number in range(2):
        baseline = Baseline()
        await baseline.run("cologne1", 1, 120, tmp_path / str(number))
        delays.append(baseline.mean_delay_s or 0.0)
    assert delays[0] == delays[1] > 0


async def test_a_failing_baseline_says_why(tmp_path: Path) -> None:
    """A run that cannot start leaves what the child said, and no delay."""
    baseline = Baseline()
    await baseline.run("nowhere", 1, 10, tmp_path)
    assert "nowhere" in baseline.error
    assert baseline.mean_delay_s is None


def test_the_local_programme_drives_the_street(tmp_path: Path) -> None:
    """Under the local programme vehicles pass the loops, the judge finds nothing, and a second start is refused."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    outcome = json.loads(done.stdout.strip().splitlines()[-1])
    assert outcome["violations"] == 0
    assert outcome["counts"]["upstream"] > 10
    assert outcome["counts"]["stop-line"] > 10
    assert "once a process" in outcome["second"]


def test_a_run_has_a_length(tmp_path: Path) -> None:
    """A run of no seconds is refused before anything starts."""
    with pytest.raises(ValueError, match="seconds"):
        StreetSimulation(read_site(load_scenario("cologne1")), seed=1, duration_s=0, work_dir=tmp_path)


def test_delay_counts_who_never_left(tmp_path: Path) -> None:
    """Every row counts with timeLoss and departDelay, negatives as nothing."""
    rows = '<tripinfo timeLoss="10" departDelay="2"/><tripinfo timeLoss="-1" departDelay="30"/>'
    path = tmp_path / "tripinfo.xml"
    path.write_text(f"<tripinfos>{rows}</tripinfos>")
    assert mean_delay_s(path) == 21.0
