"""One run in this process: ``python -m tests.signals.one_run RUN_AS_JSON DIRECTORY`` prints its outcome as JSON."""

import json
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests.signals.announcements import Announcements
from tests.signals.bands_desk import AnyDesk, BandsDesk
from tests.signals.desk import Chooser, Desk
from tests.signals.max_pressure import MaxPressure
from tests.signals.outage import Outage
from tests.signals.outcome import Told, outcome_of
from tests.signals.plan import ACTUATED, WITHOUT_PRIORITY, Outcome, Run
from tests.signals.road_users import RoadUsers
from tests.signals.senses import Senses
from tests.signals.standstill import Standstill

from maasloop.actuation.domain.signals.controller import Controller
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.traffic.neighbourhood import NOTHING_HEARD, Hears, Neighbourhood
from maasloop.twin.street.loops import ordered_exits
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.simulation import SimulationOptions, StreetSimulation
from maasloop.twin.street.site import Junction, Site, read_site
from maasloop.twin.street.sumo import libsumo

GREEN_MIN_S = 5
GREEN_MAX_S = 50
BASELINES = ("fixed", *ACTUATED)


class _Watch:
    """Everything that is noted while a run goes on."""

    def __init__(self, run: Run, site: Site) -> None:
        self.standstill = Standstill(site)
        self.users = RoadUsers(site)
        self.outage = Outage(run.kill_at, run.restart_at)

    def see(self, passed_s: int, desks: Mapping[str, AnyDesk]) -> None:
        """Look at the second that just passed."""
        self.standstill.see(passed_s)
        self.users.see(passed_s, {name: desk.state for name, desk in desks.items() if desk.state is not None})
        if desks:
            self.outage.see(passed_s, [desk.device.remote for desk in desks.values()])


def perform(run: Run, directory: Path) -> Outcome:
    """Run it; SUMO's files stay in the directory."""
    began_s = time.process_time()
    directory.mkdir(parents=True, exist_ok=True)
    site = read_site(load_scenario(run.scenario))
    baseline = run.controller in BASELINES
    additional = (_actuated_programmes(run, site, directory),) if run.controller in ACTUATED else ()
    options = SimulationOptions(own_programmes=baseline, routes=True, additional=additional)
    street = StreetSimulation(site, seed=run.seed, duration_s=run.seconds, work_dir=directory, options=options)
    (directory / "net.txt").write_text(f"{site.scenario.net}\n", encoding="utf-8")
    watch = _Watch(run, site)
    desks: dict[str, AnyDesk] = {}
    with street:
        if baseline:
            for _ in range(run.seconds):
                watch.see(street.step(), {})
        else:
            desks = {junction.id: _desk(junction, run) for junction in site.junctions}
            _controlled(run, street, desks, watch)
    outcome = outcome_of(run, street, _told(list(desks.values()), watch, began_s))
    return replace(outcome, road_users=watch.users.told(site.scenario, street.tripinfo))


def _controlled(run: Run, street: StreetSimulation, desks: dict[str, AnyDesk], watch: _Watch) -> None:
    """Let the desks decide second after second; a decision on a second acts from the next one on."""
    senses = Senses(street, run.detection, dead=run.detectors_dead, seed=run.seed)
    announcements = Announcements(street.site)
    neighbourhood = Neighbourhood(desk.sheet for desk in desks.values())
    heard: Mapping[str, Hears] = {}
    for passed_s in range(1, run.seconds + 1):
        second = street.field_s
        for junction_id, desk in desks.items():
            street.show(junction_id, desk.device.tick(second))
        street.step()
        watch.see(passed_s, desks)
        if passed_s == run.restart_at:
            for desk in desks.values():
                desk.restart()
        if run.controller == "local" or watch.outage.lasts(passed_s):
            continue
        senses.sense()
        for junction, request in announcements.hear(second) if run.controller != WITHOUT_PRIORITY else ():
            desks[junction.id].ask_priority(second, request)
        states = street.signal_states()
        for junction_id, desk in desks.items():
            loops, seen = senses.loops(desk.junction), senses.seen(desk.junction)
            desk.decide(second, states[junction_id], loops, seen, heard.get(junction_id, NOTHING_HEARD))
        heard = neighbourhood.pass_on({junction_id: desk.says for junction_id, desk in desks.items()})


def _desk(junction: Junction, run: Run) -> AnyDesk:
    sheet = read_sheet(junction.sheet)
    if run.controller == "maasloop-bands":
        return BandsDesk(junction, sheet)
    return Desk(junction, sheet, lambda: _chooser(junction, sheet, run), kernel=run.kernel)


def _chooser(junction: Junction, sheet: Sheet, run: Run) -> Chooser:
    if run.controller != "maxpressure":
        return Controller(sheet)
    lanes = {f"x{number}": lane for number, lane in enumerate(ordered_exits(junction.network))}
    return MaxPressure(sheet, lambda name: int(libsumo.lane.getLastStepVehicleNumber(lanes[name])))


def _told(desks: Sequence[AnyDesk], watch: _Watch, began_s: float) -> Told:
    refused: Counter[str] = Counter()
    for desk in desks:
        refused.update(desk.answers)
    return Told(
        gridlock=watch.standstill.found,
        processor_s=time.process_time() - began_s,
        decisions_ms=[one for desk in desks for one in desk.times_ms],
        red_called_max_s=max((desk.red_called_max_s for desk in desks), default=0.0),
        refused=refused,
        releases=sum(desk.releases for desk in desks),
        local_after_kill_s=watch.outage.local_after_s,
        remote_after_restart_s=watch.outage.remote_after_s,
    )


def _actuated_programmes(run: Run, site: Site, directory: Path) -> Path:
    """Write SUMO's actuated control over the phases of the network's own programme, or of the local one."""
    root = ET.Element("additional")
    for junction in site.junctions:
        attributes = {"id": junction.tls, "type": "actuated", "programID": "actuated", "offset": "0"}
        logic = ET.SubElement(root, "tlLogic", attributes)
        for state, duration_s, lasting in _own(junction) if run.controller == "actuated" else _local(junction):
            bounds = {"minDur": str(GREEN_MIN_S), "maxDur": str(GREEN_MAX_S)} if lasting else {}
            ET.SubElement(logic, "phase", {"duration": str(duration_s), "state": state, **bounds})
    path = directory / "actuated.add.xml"
    ET.ElementTree(root).write(path)
    return path


def _own(junction: Junction) -> list[tuple[str, float, bool]]:
    return [(phase.state, phase.duration_s, "y" not in phase.state) for phase in junction.network.phases]


def _local(junction: Junction) -> list[tuple[str, float, bool]]:
    return [(step.state, step.duration_s, step.stage) for step in junction.local.steps]


if __name__ == "__main__":
    print(json.dumps(perform(Run.from_json(sys.argv[1]), Path(sys.argv[2])).to_json()))
