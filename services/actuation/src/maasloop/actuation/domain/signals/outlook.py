"""What a stage would mean for each lane: which share of it may go, who must give way, and from when."""

from dataclasses import dataclass

from .forecast import LaneOutlook
from .perception import Perception
from .sheet import Sheet
from .stages import Stage
from .state import JunctionState


@dataclass(frozen=True)
class LanePlan:
    """One lane under one stage: the groups that are green there, those that give way, and the lanes they give way to."""

    lane: str
    groups: tuple[str, ...]
    yielding: tuple[str, ...]
    opposing: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class StagePlan:
    """Every lane that a stage serves."""

    lanes: tuple[LanePlan, ...]


def plan_stage(sheet: Sheet, stage: Stage) -> StagePlan:
    """Derive from the sheet what does not change while traffic does."""
    plans = []
    for lane in sheet.lanes:
        groups = tuple(group.id for group in sheet.groups if lane.id in group.lanes and group.id in stage)
        if not groups:
            continue
        majors = {name: [major for major in sheet.majors[name] if major in stage] for name in groups}
        yielding = tuple(name for name in groups if majors[name])
        opposing: dict[str, list[str]] = {}
        for major in dict.fromkeys(one for name in yielding for one in majors[name]):
            for other in sheet.group[major].lanes:
                if other != lane.id:
                    opposing.setdefault(other, []).append(major)
        plans.append(LanePlan(lane.id, groups, yielding, tuple((name, tuple(by)) for name, by in opposing.items())))
    return StagePlan(tuple(plans))


def outlook_of(
    perception: Perception, plan: LanePlan, starts: dict[str, float], state: JunctionState
) -> LaneOutlook | None:
    """Return what the stage means for a lane now; nothing where no vehicle could go."""
    lane = perception.lanes[plan.lane]
    if lane.stalled_until_s > state.second_s or not (lane.vehicles or lane.beyond):
        return None
    free = [name for name in plan.groups if perception.free(name)]
    if not free:
        return None
    chances = lane.head_chances()
    goes = sum(lane.shares[name] for name in free)
    yields = sum(lane.shares[name] for name in plan.yielding if name in free)
    released_s, opposing_rate = 0.0, 0.0
    if yields > 0.0:
        for name, groups in plan.opposing:
            other = perception.lanes[name]
            part = sum(other.shares[group] for group in groups)
            waiting = sum(vehicle.weight for vehicle in other.vehicles if vehicle.at_s <= state.second_s)
            start_s = min(starts[group] for group in groups)
            released_s = max(released_s, start_s + waiting * other.headway_s * part)
            opposing_rate += other.rate * part
    start_s = min(starts[name] for name in free)
    return LaneOutlook(
        goes=goes,
        yields=yields,
        head_goes=sum(chances[name] for name in free),
        start_s=max(0.0, start_s),
        moving=start_s <= 0.0 and any(state.groups[name].green for name in free),
        released_s=released_s,
        opposing_rate=round(opposing_rate, 3),
    )
