"""The moving traffic: one SUMO run behind a small typed door.

SUMO's library is not reproducible when it is started twice in one process: use one process a run.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self
from xml.sax.saxutils import quoteattr

from maasloop.twin.street.sumo import libsumo

from .site import Site
from .walkers import Kerbs

TRIPINFO = "tripinfo.xml"
SIGNAL_STATES = "tls-states.xml"
ROUTES = "vehroutes.xml"
_ADDITIONAL = "maasloop.add.xml"
_SECONDS_MAX = 86_400


@dataclass(frozen=True)
class LoopReading:
    """What one loop saw in one second: vehicles that left it, and the share of the second it was covered (0 to 1).

    A button that somebody waits at counts as covered.
    """

    count: int
    occupancy: float


_EMPTY = LoopReading(0, 0.0)
_PRESSED = LoopReading(0, 1.0)


@dataclass(frozen=True)
class SimulationOptions:
    """What may differ between runs beside scenario and seed."""

    own_programmes: bool = False
    """Leave the signals to the network's own programmes and place no loops."""
    record_states: bool = True
    """Write the signal states of every second for the judge."""
    additional: tuple[Path, ...] = ()
    """Further files for SUMO, such as other programmes."""
    vehicle_positions: bool = False
    """Write every vehicle's position each second (large)."""
    routes: bool = False
    """Write the route of every vehicle."""


class StreetSimulation:
    """One run. ``second`` counts street seconds from 0; ``field_s`` is the time of the scenario's own clock."""

    _used: ClassVar[bool] = False

    def __init__(
        self, site: Site, *, seed: int, duration_s: int, work_dir: Path, options: SimulationOptions | None = None
    ) -> None:
        """Prepare a run that writes its outputs into ``work_dir``; nothing moves before ``start``."""
        if not 0 < duration_s <= _SECONDS_MAX:
            message = f"a run lasts 1 to {_SECONDS_MAX} seconds, not {duration_s}"
            raise ValueError(message)
        self.site = site
        self.duration_s = duration_s
        self.work_dir = work_dir
        self.second = 0
        self._seed = seed
        self._options = options or SimulationOptions()
        self._tls = {junction.id: junction.tls for junction in site.junctions}
        self._inductive = [loop for loop in site.loops.values() if loop.kind != "button"]
        self._buttons = {loop.lane: loop.id for loop in site.loops.values() if loop.kind == "button"}
        self._kerbs = Kerbs(site)

    @property
    def field_s(self) -> int:
        """Return the second of the scenario's own clock."""
        return self.site.scenario.begin_s + self.second

    @property
    def tripinfo(self) -> Path:
        """Return where the delays of the trips are written when the run is closed."""
        return self.work_dir / TRIPINFO

    @property
    def states_file(self) -> Path:
        """Return where the signal states of every second are written."""
        return self.work_dir / SIGNAL_STATES

    def __enter__(self) -> Self:
        """Start the run."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the run."""
        self.close()

    def start(self) -> None:
        """Load network and demand; refuse a second start in this process."""
        if StreetSimulation._used:
            message = "SUMO runs once a process: a second run would not be reproducible"
            raise RuntimeError(message)
        StreetSimulation._used = True
        self.work_dir.mkdir(parents=True, exist_ok=True)
        libsumo.start(self._command())

    def step(self) -> int:
        """Let one second pass and return the number of seconds passed."""
        libsumo.simulationStep()
        self.second += 1
        return self.second

    def close(self) -> None:
        """End the run and write its outputs."""
        libsumo.close()

    def loop_readings(self) -> dict[str, LoopReading]:
        """Return what every loop and button saw during the last second."""
        loops = libsumo.inductionloop
        found = {
            loop.id: self._reading(loops.getVehicleData(loop.id)) if loops.getLastStepVehicleNumber(loop.id) else _EMPTY
            for loop in self._inductive
        }
        found.update(dict.fromkeys(self._buttons.values(), _EMPTY))
        found.update({self._buttons[walker.crossing]: _PRESSED for walker in self._kerbs.see() if walker.standing})
        return found

    def _reading(self, seen: Any) -> LoopReading:
        # SUMO's own occupancy leaves out vehicles that left within the second, so it is added up from their times.
        ends_s = float(self.field_s)
        count, covered_s = 0, 0.0
        for _, _, entered_s, left_s, _ in seen:
            gone = left_s >= 0
            count += gone
            covered_s += max(0.0, min(left_s if gone else ends_s, ends_s) - max(entered_s, ends_s - 1.0))
        return LoopReading(count, min(1.0, covered_s))

    def signal_states(self) -> dict[str, str]:
        """Return the state that every junction shows."""
        return {
            junction_id: str(libsumo.trafficlight.getRedYellowGreenState(tls)) for junction_id, tls in self._tls.items()
        }

    def show(self, junction_id: str, state: str) -> None:
        """Show a state at a junction from the next second on."""
        libsumo.trafficlight.setRedYellowGreenState(self._tls[junction_id], state)

    def vehicle_positions(self) -> dict[str, tuple[float, float]]:
        """Return x and y in metres of every vehicle, in the plane of the network."""
        positions: Iterable[str] = libsumo.vehicle.getIDList()
        return {vehicle: _point(libsumo.vehicle.getPosition(vehicle)) for vehicle in positions}

    def _command(self) -> list[str]:
        scenario = self.site.scenario
        additional = [str(path) for path in (*scenario.additional, *self._options.additional)]
        if not self._options.own_programmes or self._options.record_states:
            additional.append(str(self._write_additional()))
        command = ["sumo", "--net-file", str(scenario.net), "--begin", str(scenario.begin_s)]
        command += ["--route-files", ",".join(str(path) for path in scenario.routes)] if scenario.routes else []
        command += ["--additional-files", ",".join(additional)] if additional else []
        command += ["--seed", str(self._seed), "--step-length", "1", "--time-to-teleport", "-1"]
        command += ["--no-step-log", "--no-warnings", "--duration-log.disable"]
        command += ["--tripinfo-output", str(self.tripinfo)]
        command += ["--tripinfo-output.write-unfinished", "--tripinfo-output.write-undeparted"]
        if self._options.routes:
            command += ["--vehroute-output", str(self.work_dir / ROUTES)]
            command += ["--vehroute-output.write-unfinished", "--vehroute-output.exit-times"]
        if self._options.vehicle_positions:
            command += ["--fcd-output", str(self.work_dir / "positions.xml")]
        return command

    def _write_additional(self) -> Path:
        lines = ["<additional>"]
        if not self._options.own_programmes:
            lines += [
                f"  <e1Detector id={quoteattr(loop.id)} lane={quoteattr(loop.lane)} pos={quoteattr(str(loop.position_m))}"
                ' period="86400" file="/dev/null" friendlyPos="true"/>'
                for loop in self._inductive
            ]
        if self._options.record_states:
            lines += [
                f'  <timedEvent type="SaveTLSStates" source={quoteattr(tls)} dest={quoteattr(str(self.states_file))}/>'
                for tls in self._tls.values()
            ]
        path = self.work_dir / _ADDITIONAL
        path.write_text("\n".join([*lines, "</additional>"]), encoding="utf-8")
        return path


def _point(position: Any) -> tuple[float, float]:
    return float(position[0]), float(position[1])
