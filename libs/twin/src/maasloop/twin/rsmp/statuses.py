"""What a cabinet tells by each status, value by value."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping

from maasloop.rsmp.dialect import Release
from maasloop.rsmp.encoding import time_text
from maasloop.rsmp.messages import Rows, Value

from .cabinet import Cabinet
from .detectors import CLASSES, Counts
from .forecast import forecast
from .position import Position

type Values = Mapping[str, Value]

VERSION = "maasloop twin rsmp-site"
ALL_INTERSECTIONS, INTERSECTION = "0", "1"
LIST_1_1 = Release(1, 1, 0)


def values_of(cabinet: Cabinet, component: str, code: str) -> Values:
    """Return the values of a status by name; empty if this equipment has none."""
    tell = _OF_CONTROLLER.get(code)
    if tell is not None:
        return tell(cabinet)
    tell_of = _OF_PARTS.get(code)
    return tell_of(cabinet, component) if tell_of else {}


def _text(value: bool) -> str:
    return str(bool(value))


def flag(value: str | bool, source: str = "startup") -> Values:
    """Return the values of a status that lists intersections: there is one."""
    return {"intersection": ALL_INTERSECTIONS, "status": str(value), "source": source}


def _rows(rows: list[dict[str, str]]) -> Rows:
    return tuple(rows)


def _pairs(values: Mapping[int, int]) -> str:
    return ",".join(f"{key}-{value}" for key, value in sorted(values.items()))


def _signals(cabinet: Cabinet) -> Values:
    counter, base = cabinet.programme.counters(cabinet.now_s, cabinet.clock.now().timestamp())
    return {
        "signalgroupstatus": cabinet.signal_states(),
        "cyclecounter": str(counter),
        "basecyclecounter": str(base),
        "stage": str(cabinet.due.number if cabinet.position.in_control else 0),
    }


def _each_detector(cabinet: Cabinet, tell: Callable[[str], bool]) -> str:
    return "".join("1" if tell(name) else "0" for name in cabinet.sheet.detector_logics)


def _starting(cabinet: Cabinet) -> Values:
    starting = _text(cabinet.position.starting)
    return {"status": starting, "statusByIntersection": _rows([{"intersection": INTERSECTION, "startup": starting}])}


def _emergency(cabinet: Cabinet) -> Values:
    active = cabinet.emergency_routes
    number = active[-1] if active else 0
    if not active and cabinet.list.emergency_stage == "last":
        number = cabinet.last_emergency_route or min(cabinet.sheet.emergency_routes, default=0)
    return {"status": _text(bool(active)), "emergencystage": str(number)}


def _mode(cabinet: Cabinet) -> str:
    if cabinet.position.starting:
        return "startup"
    return "control" if cabinet.position.in_control else "standby"


def _fixed_time(cabinet: Cabinet) -> Values:
    fixed = cabinet.programme.fixed_time
    return flag(fixed, "forced" if fixed else "startup")


def _situation(cabinet: Cabinet) -> Values:
    number, source = cabinet.situation
    return {"status": str(number), "source": source}


def _plan(cabinet: Cabinet) -> Values:
    number, source = cabinet.plan
    return {"status": str(number), "source": source}


def _bands(cabinet: Cabinet) -> Values:
    bands = sorted(cabinet.programme.bands.items())
    entries = (f"{plan}-{band}-{extension_s}" for plan, row in bands for band, extension_s in enumerate(row, start=1))
    return {"status": ",".join(entries)}


def _priorities(cabinet: Cabinet) -> Values:
    found = [{"r": each.id, "t": time_text(each.since), "s": each.state.value} for each in cabinet.priorities]
    return {"status": _rows(found)}


def _nobody(cabinet: Cabinet) -> Values:
    if cabinet.list.release < LIST_1_1:
        return {"user": "nobody", "status": "logout"}
    return {"user": "0"}


def _clock(cabinet: Cabinet) -> Values:
    now = cabinet.clock.now()
    names = ("year", "month", "day", "hour", "minute", "second")
    return {name: str(getattr(now, name)) for name in names}


def _parameters(cabinet: Cabinet) -> bytes:
    """Return the traffic parameters as they are now; the checksum is made of the same bytes."""
    programme, sheet = cabinet.programme, cabinet.sheet
    told = sheet.model_dump(mode="json", include={"signal_groups", "intergreen_s", "detector_logics", "plans"})
    told |= {"cycles_s": programme.cycles_s, "offsets_s": programme.offsets_s, "bands_s": programme.bands}
    told |= {"week_table": cabinet.tables.week_text, "day_tables": cabinet.tables.days_text}
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()


def _checksum(cabinet: Cabinet) -> Values:
    return {
        "checksum": hashlib.sha256(_parameters(cabinet)).hexdigest(),
        "timestamp": time_text(cabinet.parameters_since),
    }


def _configuration(cabinet: Cabinet) -> Values:
    config = base64.b64encode(_parameters(cabinet)).decode()
    return {"config": config, "timestamp": time_text(cabinet.parameters_since), "version": cabinet.sheet.site_id}


def _counted(tell: Callable[[Cabinet, str], Mapping[str, int]]) -> Callable[[Cabinet], Values]:
    """All detector logics together, joined by commas."""

    def status(cabinet: Cabinet) -> Values:
        names = list(cabinet.sheet.detector_logics)
        if not names:
            return {}
        told = [tell(cabinet, name) for name in names]
        joined = {key: ",".join(str(each[key]) for each in told) for key in told[0]}
        return {"start": time_text(cabinet.detectors.counts(names[0]).start), **joined}

    return status


def _counted_by(tell: Callable[[Cabinet, str], Mapping[str, int]]) -> Callable[[Cabinet, str], Values]:
    """One detector logic."""

    def status(cabinet: Cabinet, component: str) -> Values:
        told = {key: str(value) for key, value in tell(cabinet, component).items()}
        return {"starttime": time_text(_counts(cabinet, component).start), **told}

    return status


def _counts(cabinet: Cabinet, name: str) -> Counts:
    return cabinet.detectors.counts(name)


def _vehicles(cabinet: Cabinet, name: str) -> Mapping[str, int]:
    return {"vehicles": _counts(cabinet, name).vehicles}


def _speed(cabinet: Cabinet, name: str) -> Mapping[str, int]:
    return {"speed": _counts(cabinet, name).speed_kmh}


def _occupancy(cabinet: Cabinet, name: str) -> Mapping[str, int]:
    return {"occupancy": cabinet.detectors.occupancy_percent(name)}


def _classes(cabinet: Cabinet, name: str) -> Mapping[str, int]:
    counted = _counts(cabinet, name).classes
    return {kind: counted[kind] for kind in CLASSES}


_OF_CONTROLLER: Mapping[str, Callable[[Cabinet], Values]] = {
    "S0001": _signals,
    "S0002": lambda site: {"detectorlogicstatus": _each_detector(site, site.detectors.active)},
    "S0003": lambda site: {"inputstatus": site.inputs.text, "extendedinputstatus": "0"},
    "S0004": lambda site: {"outputstatus": site.outputs.text, "extendedoutputstatus": "0"},
    "S0005": _starting,
    "S0006": _emergency,
    "S0007": lambda site: flag(site.position.position is not Position.DARK, site.position.source),
    "S0008": lambda _: flag(value=False),
    "S0009": _fixed_time,
    "S0010": lambda site: flag(not site.programme.plan.coordinated),
    "S0011": lambda site: flag(site.position.position is Position.YELLOW_FLASH, site.position.source),
    "S0012": lambda site: flag(site.all_red, "operator_panel" if site.all_red else "startup"),
    "S0013": lambda _: {"intersection": ALL_INTERSECTIONS, "status": "0"},
    "S0014": _plan,
    "S0015": _situation,
    "S0016": lambda site: {"number": str(len(site.sheet.detector_logics))},
    "S0017": lambda site: {"number": str(len(site.sheet.signal_groups))},
    "S0018": lambda site: {"number": str(len(site.sheet.plans))},
    "S0019": lambda site: {"number": str(len(site.sheet.traffic_situations))},
    "S0020": lambda site: {"intersection": ALL_INTERSECTIONS, "controlmode": _mode(site)},
    "S0021": lambda site: {"detectorlogics": _each_detector(site, site.detectors.forced)},
    "S0022": lambda site: {"status": ",".join(map(str, sorted(site.sheet.plans)))},
    "S0023": _bands,
    "S0024": lambda site: {"status": _pairs(site.programme.offsets_s)},
    "S0026": lambda site: {"status": site.tables.week_text},
    "S0027": lambda site: {"status": site.tables.days_text},
    "S0028": lambda site: {"status": _pairs(site.programme.cycles_s)},
    "S0029": lambda site: {"status": site.inputs.forced_text},
    "S0030": lambda site: {"status": site.outputs.forced_text},
    "S0031": lambda site: {"status": _pairs(site.trigger_levels)},
    "S0032": lambda site: flag("centralized" if site.programme.plan.coordinated else "off"),
    "S0033": _priorities,
    "S0034": lambda site: {"status": str(site.bands_timeout_min)},
    "S0035": lambda site: {"emergencyroutes": _rows([{"id": str(each)} for each in sorted(site.emergency_routes)])},
    "S0091": _nobody,
    "S0092": _nobody,
    "S0095": lambda _: {"status": VERSION},
    "S0096": _clock,
    "S0097": _checksum,
    "S0098": _configuration,
    "S0205": _counted(_vehicles),
    "S0206": _counted(_speed),
    "S0207": _counted(_occupancy),
    "S0208": _counted(_classes),
}
_OF_PARTS: Mapping[str, Callable[[Cabinet, str], Values]] = {
    "S0025": forecast,
    "S0201": _counted_by(_vehicles),
    "S0202": _counted_by(_speed),
    "S0203": _counted_by(_occupancy),
    "S0204": _counted_by(_classes),
}
