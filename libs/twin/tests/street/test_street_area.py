"""What is seen around junctions, beside what vehicles do afterwards."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# A child process that loads SUMO, on a machine that may be busy.
pytestmark = pytest.mark.timeout(240)

RUN = """
import json, sys
from pathlib import Path
from maasloop.twin.street.area import AreaDetection
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.signals import SignalDevice
from maasloop.twin.street.simulation import StreetSimulation
from maasloop.twin.street.site import lane_names, read_site
from maasloop.twin.street.sumo import libsumo
site = read_site(load_scenario("ingolstadt7"))
devices = {junction.id: SignalDevice(junction) for junction in site.junctions}
controlled = {lane for junction in site.junctions for lane in lane_names(junction.network)}
taken, left = {}, {}
with StreetSimulation(site, seed=1, duration_s=240, work_dir=Path(sys.argv[1])) as street:
    area = AreaDetection(site, announced=False)
    for _ in range(240):
        for name, device in devices.items():
            street.show(name, device.tick(street.second + 1))
        street.step()
        for junction, seen in area.see().items():
            for one in seen:
                if one.distance_m < 0.0 or one.distance_m > 60.0:
                    continue
                here = str(libsumo.vehicle.getLaneID(one.vehicle))
                key = f"{junction} {one.vehicle}"
                if here in controlled:
                    left[key] = here
                else:
                    taken.setdefault(key, []).append(one.lane)
right = [lane == left[key] for key, lanes in taken.items() if key in left for lane in lanes]
print(json.dumps({"count": len(right), "right": sum(right)}))
"""


def test_who_is_only_watched_is_taken_to_keep_to_his_lane(tmp_path: Path) -> None:
    """On the roads before, where a lane has another name, most are taken to come to the one that they do come to; by chance it would be a third."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])

    assert found["count"] > 100
    assert found["right"] > 0.8 * found["count"]
