"""Reads a data sheet from plain JSON data and writes it back, as it travels in the configuration of a device."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from maasloop.core.errors import InvalidArgument
from maasloop.core.ids import require_id
from maasloop.core.reasons import Reason

from .sheet import Detector, DetectorPosition, GroupKind, Lane, LocalProgramme, LocalStep, Pair, Sheet, SignalGroup
from .sheet_check import contradictions
from .site_plan import BandStage, SitePlan

Json = Mapping[str, Any]

GROUPS_MAX = 128
DETECTORS_MAX = 512
STAGES_MAX = 32


def read_sheet(data: Json) -> Sheet:
    """Read a sheet and refuse, as ``InvalidArgument``, one that is malformed or contradicts itself."""
    try:
        sheet = _sheet(data)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        message = f"the data sheet is malformed: {type(error).__name__}: {error}"
        raise InvalidArgument(Reason.DATA_SHEET_INVALID, message) from error
    found = contradictions(sheet)
    if found:
        first = found[0]
        message = f"the data sheet of {sheet.junction} contradicts itself: {first.detail}"
        raise InvalidArgument(Reason.DATA_SHEET_INVALID, message, {"pair": "/".join(first.pair)})
    return sheet


def write_sheet(sheet: Sheet) -> dict[str, Any]:
    """Write a sheet as plain JSON data; ``read_sheet`` gives the same sheet back."""
    return {
        "junction": sheet.junction,
        "groups": [
            {
                "id": group.id,
                "kind": group.kind.value,
                "lanes": list(group.lanes),
                "exits": list(group.exits),
                "turn": group.turn,
                "yellow_s": group.yellow_s,
                "all_red_s": group.all_red_s,
                "minimum_green_s": group.minimum_green_s,
                "maximum_green_s": group.maximum_green_s,
                "maximum_wait_s": group.maximum_wait_s,
                "crossing_m": group.crossing_m,
            }
            for group in sheet.groups
        ],
        "compatible": [list(pair) for pair in sorted(sheet.compatible)],
        "conflicts": [list(pair) for pair in sorted(sheet.declared_conflicts)],
        "yields": [list(pair) for pair in sorted(sheet.yields)],
        "intergreens": [[*pair, seconds] for pair, seconds in sorted(sheet.intergreens_s.items())],
        "lanes": [
            {
                "id": lane.id,
                "speed_mps": lane.speed_mps,
                "headway_s": lane.headway_s,
                "storage_m": lane.storage_m,
                **({"only_from_feeders": True} if lane.only_from_feeders else {}),
            }
            for lane in sheet.lanes
        ],
        "exits": [{"id": name, **({"road": sheet.roads[name]} if name in sheet.roads else {})} for name in sheet.exits],
        "detectors": [
            {
                "id": detector.id,
                "position": detector.position.value,
                "distance_m": detector.distance_m,
                "serves": [list(pair) for pair in detector.serves],
            }
            for detector in sheet.detectors
        ],
        "local": {
            "offset_s": sheet.local.offset_s,
            "steps": [{"state": step.state, "duration_s": step.duration_s} for step in sheet.local.steps],
        },
        "notes": list(sheet.notes),
        **_site_plan_data(sheet.bands),
    }


def _sheet(data: Json) -> Sheet:
    if len(data["groups"]) > GROUPS_MAX or len(data["detectors"]) > DETECTORS_MAX:
        message = f"at most {GROUPS_MAX} groups and {DETECTORS_MAX} detectors"
        raise ValueError(message)
    local = data["local"]
    steps = tuple(LocalStep(str(step["state"]), float(step["duration_s"])) for step in local["steps"])
    return Sheet(
        junction=require_id(data["junction"], "junction"),
        groups=tuple(_group(group) for group in data["groups"]),
        compatible=_pairs(data["compatible"]),
        declared_conflicts=_pairs(data["conflicts"]),
        yields=_pairs(data["yields"]),
        intergreens_s={(str(row[0]), str(row[1])): float(row[2]) for row in data["intergreens"]},
        lanes=tuple(_lane(lane) for lane in data["lanes"]),
        exits=tuple(require_id(one["id"], "exits.id") for one in data["exits"]),
        detectors=tuple(_detector(detector) for detector in data["detectors"]),
        local=LocalProgramme(float(local["offset_s"]), steps),
        notes=tuple(str(note) for note in data.get("notes", ())),
        bands=_site_plan(data["bands"]) if data.get("bands") else None,
        roads={one["id"]: require_id(one["road"], "exits.road") for one in data["exits"] if "road" in one},
    )


def _pairs(rows: Iterable[Any]) -> frozenset[Pair]:
    return frozenset((str(row[0]), str(row[1])) for row in rows)


def _group(data: Json) -> SignalGroup:
    return SignalGroup(
        id=require_id(data["id"], "groups.id"),
        kind=GroupKind(data["kind"]),
        lanes=tuple(str(lane) for lane in data["lanes"]),
        exits=tuple(str(one) for one in data["exits"]),
        turn=str(data["turn"]),
        yellow_s=float(data["yellow_s"]),
        all_red_s=float(data["all_red_s"]),
        minimum_green_s=float(data["minimum_green_s"]),
        maximum_green_s=float(data["maximum_green_s"]),
        maximum_wait_s=float(data["maximum_wait_s"]),
        crossing_m=float(data.get("crossing_m", 0.0)),
    )


def _site_plan(data: Json) -> SitePlan:
    if not 1 <= len(data["stages"]) <= STAGES_MAX:
        message = f"a plan has 1 to {STAGES_MAX} stages"
        raise ValueError(message)
    return SitePlan(
        plan=int(data["plan"]),
        stages=tuple(
            BandStage(
                state=str(stage["state"]),
                green_s=float(stage["green_s"]),
                band_s=float(stage["band_s"]),
                band_max_s=float(stage["band_max_s"]),
                call_input=int(stage.get("call_input", 0)),
                hold_input=int(stage.get("hold_input", 0)),
                called=bool(stage.get("called", True)),
            )
            for stage in data["stages"]
        ),
        cycle_max_s=float(data["cycle_max_s"]),
        dead_man_s=float(data["dead_man_s"]),
        interval_s=float(data["interval_s"]),
    )


def _site_plan_data(plan: SitePlan | None) -> dict[str, Any]:
    return {} if plan is None else {"bands": {**asdict(plan), "stages": [asdict(stage) for stage in plan.stages]}}


def _lane(data: Json) -> Lane:
    return Lane(
        id=require_id(data["id"], "lanes.id"),
        speed_mps=float(data["speed_mps"]),
        headway_s=float(data["headway_s"]),
        storage_m=float(data["storage_m"]),
        only_from_feeders=_flag(data, "only_from_feeders"),
    )


def _flag(data: Json, name: str) -> bool:
    value = data.get(name, False)
    if not isinstance(value, bool):
        message = f"{name} is {value!r}, which is neither true nor false"
        raise TypeError(message)
    return value


def _detector(data: Json) -> Detector:
    return Detector(
        id=require_id(data["id"], "detectors.id"),
        position=DetectorPosition(data["position"]),
        distance_m=float(data["distance_m"]),
        serves=tuple((str(row[0]), float(row[1])) for row in data["serves"]),
    )
