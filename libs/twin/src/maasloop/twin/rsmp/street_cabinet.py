"""The RSMP face of a junction in the street: what its field programme leaves open can be asked for, and nothing else.

It has the plans, bands, offsets, cycle times and inputs of ``PlanDevice``; lamps cannot be switched off over RSMP here,
for nobody in the street would know how to go on.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from maasloop.rsmp.encoding import time_text
from maasloop.rsmp.events import Reading
from maasloop.rsmp.exchange_list import CONTROLLER
from maasloop.rsmp.messages import Quality, StatusName, Value
from maasloop.rsmp.site_state import Verdict
from maasloop.twin.street.bands import COORDINATED, FREE, Plan
from maasloop.twin.street.network import GREEN_MIN_S
from maasloop.twin.street.plan_device import CYCLE_MAX_S, PlanDevice
from maasloop.twin.street.simulation import LoopReading
from maasloop.twin.street.site import Junction

from .orders import Action, Objection, existing, pairs_of, series_of_inputs
from .secret import SecurityCodes
from .statuses import flag

COMPONENT = "TC"
"""Id of the main component."""
SIGNAL_GROUP, DETECTOR_LOGIC = "signal group", "detector logic"
COUNTING_S = 60
MINUTE_S = 60
COUNTERS = 1000
"""Counters of status S0001 have three digits."""
_SHOWN = {"G": "4", "g": "4", "y": "N", "r": "B"}

type Arguments = Mapping[str, str]


class StreetCabinet:
    """A controller that runs its own plans; call ``tick`` once a street second."""

    def __init__(self, junction: Junction, codes: SecurityCodes) -> None:
        """Begin in plan 1."""
        self.device = PlanDevice(junction)
        self.second = 0
        self._codes = codes
        self._junction = junction
        self._groups = tuple(group.id for group in junction.network.groups)
        self._loops = tuple(loop.id for loop in junction.loops)
        self._components = {COMPONENT: CONTROLLER}
        self._components |= dict.fromkeys(self._groups, SIGNAL_GROUP) | dict.fromkeys(self._loops, DETECTOR_LOGIC)
        self.ordered = False
        self.dead_man_min = 0
        self._inputs: dict[int, bool] = {}
        self.forced: dict[int, bool] = {}
        self._green_since = [0] * len(self._groups)
        self._occupied: dict[str, float] = dict.fromkeys(self._loops, 0.0)
        self._counts: dict[str, int] = dict.fromkeys(self._loops, 0)
        self._covered_s: dict[str, float] = dict.fromkeys(self._loops, 0.0)
        self._counted: tuple[int, dict[str, int], dict[str, float]] = (0, dict(self._counts), dict(self._covered_s))

    def tick(self, second: int) -> str:
        """Return the state to show in ``second``."""
        before = self.device.state
        self.second = second
        state = self.device.tick(second)
        if self.ordered and not self.device.remote:
            self._fallen_back()
        for place, shown in enumerate(state):
            if shown in "Gg" and before[place : place + 1] not in {"G", "g"}:
                self._green_since[place] = second
        return state

    def count(self, second: int, loops: Mapping[str, LoopReading]) -> None:
        """Take what the loops saw in a second."""
        for name in self._loops:
            self._occupied[name] = loops[name].occupancy
            self._counts[name] += loops[name].count
            self._covered_s[name] += loops[name].occupancy
        if second % COUNTING_S == 0:
            self._counted = (second - COUNTING_S, dict(self._counts), dict(self._covered_s))
            self._counts, self._covered_s = dict.fromkeys(self._loops, 0), dict.fromkeys(self._loops, 0.0)

    def description(self, site_id: str, security_codes: Mapping[int, str]) -> dict[str, Any]:
        """Return the section ``rsmp`` of the device's configuration; codes are references."""
        return {
            "site_ids": [site_id],
            "controller": COMPONENT,
            "signal_groups": list(self._groups),
            "detector_logics": list(self._loops),
            "security_codes": {str(level): reference for level, reference in security_codes.items()},
            "status_interval_s": 0,
        }

    def components(self) -> Mapping[str, str]:
        """Return the kind of each component."""
        return self._components

    def read(self, component: str, name: StatusName) -> Reading:
        """Return a value now."""
        value = self._values(component, name.code).get(name.name)
        return Reading(name.code, name.name, value, Quality.UNKNOWN if value is None else Quality.RECENT)

    def judge(self, component: str, code: str, values: Mapping[str, Value]) -> Verdict:
        """Say whether a command will be carried out."""
        try:
            return Verdict(taken=self._action(code, values) is not None)
        except Objection as objection:
            return Verdict(taken=True, objection=str(objection))

    def execute(self, component: str, code: str, values: Mapping[str, Value]) -> None:
        """Carry out a command that was judged."""
        todo = self._action(code, values)
        if todo is not None:
            todo()

    def _action(self, code: str, values: Mapping[str, Value]) -> Action | None:
        order = _ORDERS.get(code)
        if order is None:
            return None
        arguments = {name: value for name, value in values.items() if isinstance(value, str)}
        if not self._codes.right(2, arguments.get("securityCode", "")):
            raise Objection("Incorrect security code for level 2")
        return order(self, arguments)

    def _values(self, component: str, code: str) -> Mapping[str, Value]:
        if code in _OF_LOOPS:
            return {"starttime": self._counted_from, **_OF_LOOPS[code](self, component)}
        if code in _OF_ALL_LOOPS and self._loops:
            each = [_OF_LOOPS[_OF_ALL_LOOPS[code]](self, name) for name in self._loops]
            return {"start": self._counted_from, **{key: ",".join(one[key] for one in each) for key in each[0]}}
        tell = _STATUSES.get(code)
        return tell(self) if tell else {}

    @property
    def _counted_from(self) -> str:
        return time_text(datetime.fromtimestamp(self._counted[0], UTC))

    def counted(self, loop: str) -> dict[str, str]:
        """Return the vehicles of the last whole minute."""
        return {"vehicles": str(self._counted[1][loop])}

    def occupancy(self, loop: str) -> dict[str, str]:
        """Return the share of the last whole minute in which a loop was covered, in percent."""
        return {"occupancy": str(min(100, round(100 * self._counted[2][loop] / COUNTING_S)))}

    def loops_text(self) -> str:
        """Return the loops as status S0002 writes them."""
        return "".join("1" if self._occupied[name] else "0" for name in self._loops)

    def signals(self) -> Mapping[str, Value]:
        """Return the values of status S0001."""
        shown = (
            "1" if now in "Gg" and self.second - since < GREEN_MIN_S else _SHOWN.get(now, "B")
            for now, since in zip(self.device.state, self._green_since, strict=True)
        )
        return {
            "signalgroupstatus": "".join(shown),
            "cyclecounter": str(max(0, self.device.cycle_counter) % COUNTERS),
            "basecyclecounter": str(max(0, self.device.base_cycle_counter) % COUNTERS),
            "stage": str(self.device.stage),
        }

    def bands_text(self) -> str:
        """Return the bands as status S0023 writes them."""
        return ",".join(
            f"{plan}-{band}-{band_s}" for plan in self.device.plans for band, band_s in self.device.bands(plan).items()
        )

    def set_inputs(self, wanted: list[tuple[int, bool]]) -> None:
        """Switch inputs; what is forced stays so."""
        for number, on in wanted:
            self._inputs[number] = on
            if number not in self.forced:
                self.device.force(number, on)
        self.ordered = True

    def force_input(self, number: int, value: bool | None) -> None:
        """Force an input, or leave it to itself again."""
        if value is None:
            self.forced.pop(number, None)
            value = self._inputs.get(number)
        else:
            self.forced[number] = value
        self.device.force(number, value)
        self.ordered = True

    def input_text(self) -> str:
        """Return the inputs as status S0003 writes them."""
        on = self._inputs | self.forced
        return "".join("1" if on.get(number) else "0" for number in range(1, self.inputs + 1))

    def forced_text(self) -> str:
        """Return which inputs are forced, as status S0029 writes it."""
        return "".join("1" if number in self.forced else "0" for number in range(1, self.inputs + 1))

    def number_of(self, kind: str) -> str:
        """Return how many components of a kind there are."""
        return str(sum(each == kind for each in self._components.values()))

    @property
    def inputs(self) -> int:
        """Return how many inputs there are: one to call and one to hold each stage of the free plan."""
        return 2 * len(self.device.plans[FREE].stages) if FREE in self.device.plans else 0

    def _fallen_back(self) -> None:
        self.ordered = False
        self._inputs.clear()
        self.forced.clear()


def _plan_number(cabinet: StreetCabinet, text: str) -> int:
    number = int(text) or cabinet.device.plan
    if number not in cabinet.device.plans:
        raise Objection(f"Plan {number} does not exist")
    return number


def _changed(cabinet: StreetCabinet, act: Callable[[], None]) -> Action:
    def do() -> None:
        act()
        cabinet.ordered = True

    return do


def _set_plan(cabinet: StreetCabinet, arguments: Arguments) -> Action:
    if arguments["status"] != "True":
        return partial(cabinet.device.select_plan, None)
    return _changed(cabinet, partial(cabinet.device.select_plan, _plan_number(cabinet, arguments["timeplan"])))


def _set_bands(cabinet: StreetCabinet, arguments: Arguments) -> Action:
    number = _open_plan(cabinet, arguments)
    stages, bands = (
        cabinet.device.plans[number].stages,
        pairs_of(arguments["status"]),
    )
    for band, band_s in bands.items():
        existing(f"Plan {number}: band", band, len(stages))
        if band_s > stages[band - 1].band_max_s:
            raise Objection(f"Band {band} of plan {number} is 0 to {stages[band - 1].band_max_s} s")
    return _changed(cabinet, partial(cabinet.device.set_bands, number, bands))


def _open_plan(cabinet: StreetCabinet, arguments: Arguments) -> int:
    number = _plan_number(cabinet, arguments["plan"])
    if FREE not in cabinet.device.plans:
        raise Objection("The plans of this controller are fixed")
    return number


def _offset(cabinet: StreetCabinet, arguments: Arguments) -> Action:
    number = _open_plan(cabinet, arguments)
    return _changed(cabinet, partial(cabinet.device.set_offset, number, int(arguments["status"])))


def _cycle(cabinet: StreetCabinet, arguments: Arguments) -> Action:
    number = _open_plan(cabinet, arguments)
    if cabinet.device.plans[number].cycle_s is None:
        raise Objection(f"The cycle of plan {number} is free")
    return _changed(cabinet, partial(cabinet.device.set_cycle, number, min(CYCLE_MAX_S, int(arguments["status"]))))


def _dead_man(cabinet: StreetCabinet, arguments: Arguments) -> Action:
    minutes = int(arguments["status"])

    def do() -> None:
        cabinet.dead_man_min = minutes
        cabinet.device.set_dead_man(minutes * MINUTE_S)

    return do


def _input(cabinet: StreetCabinet, arguments: Arguments) -> Action:
    number = existing("Input", int(arguments["input"]), cabinet.inputs)
    return partial(cabinet.set_inputs, [(number, arguments["status"] == "True")])


def _inputs(cabinet: StreetCabinet, arguments: Arguments) -> Action:
    return partial(cabinet.set_inputs, series_of_inputs(arguments["status"], cabinet.inputs))


def _force_input(cabinet: StreetCabinet, arguments: Arguments) -> Action:
    number = existing("Input", int(arguments["input"]), cabinet.inputs)
    value = arguments["inputValue"] == "True" if arguments["status"] == "True" else None
    return partial(cabinet.force_input, number, value)


_ORDERS: Mapping[str, Callable[[StreetCabinet, Arguments], Action]] = {
    "M0002": _set_plan,
    "M0006": _input,
    "M0013": _inputs,
    "M0014": _set_bands,
    "M0015": _offset,
    "M0018": _cycle,
    "M0019": _force_input,
    "M0023": _dead_man,
}
"""All of security level 2."""


def _of_plans(tell: Callable[[Plan], int | None]) -> Callable[[StreetCabinet], Mapping[str, Value]]:
    def status(cabinet: StreetCabinet) -> Mapping[str, Value]:
        told = ((number, tell(plan)) for number, plan in cabinet.device.plans.items())
        return {"status": ",".join(f"{number}-{value}" for number, value in told if value is not None)}

    return status


def _plan(cabinet: StreetCabinet) -> Mapping[str, Value]:
    return {"status": str(cabinet.device.plan), "source": "forced" if cabinet.device.plan != COORDINATED else "startup"}


_STATUSES: Mapping[str, Callable[[StreetCabinet], Mapping[str, Value]]] = {
    "S0001": StreetCabinet.signals,
    "S0002": lambda site: {"detectorlogicstatus": site.loops_text()},
    "S0003": lambda site: {"inputstatus": site.input_text(), "extendedinputstatus": "0"},
    "S0005": lambda _: {"status": "False"},
    "S0007": lambda _: flag("True"),
    "S0010": lambda site: flag(site.device.plan != COORDINATED),
    "S0011": lambda _: flag("False"),
    "S0014": _plan,
    "S0016": lambda site: {"number": site.number_of(DETECTOR_LOGIC)},
    "S0017": lambda site: {"number": site.number_of(SIGNAL_GROUP)},
    "S0018": lambda site: {"number": str(len(site.device.plans))},
    "S0020": lambda _: {"intersection": "0", "controlmode": "control"},
    "S0022": lambda site: {"status": ",".join(map(str, site.device.plans))},
    "S0023": lambda site: {"status": site.bands_text()},
    "S0024": _of_plans(lambda plan: plan.offset_s % (plan.cycle_s or CYCLE_MAX_S)),
    "S0028": _of_plans(lambda plan: plan.cycle_s),
    "S0029": lambda site: {"status": site.forced_text()},
    "S0034": lambda site: {"status": str(site.dead_man_min)},
}
_OF_LOOPS: Mapping[str, Callable[[StreetCabinet, str], Mapping[str, str]]] = {
    "S0201": StreetCabinet.counted,
    "S0203": StreetCabinet.occupancy,
}
_OF_ALL_LOOPS = {"S0205": "S0201", "S0207": "S0203"}
"""The status of all loops together, by that of one."""
