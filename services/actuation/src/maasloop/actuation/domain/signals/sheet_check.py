"""Finds where a data sheet contradicts itself, or asks for less than the rules of the street."""

from collections.abc import Iterator
from dataclasses import dataclass

from .aspects import NEVER_REMOTE
from .sheet import DetectorPosition, GroupKind, Pair, Sheet, SignalGroup, walking_s
from .state import JunctionState
from .timeline import advance

GREEN_FLOOR_S = 5.0
YELLOW_CYCLE_FLOOR_S = 2.0
ALL_RED_FLOOR_S = 1.0
SHARE_SUM_MAX = 1.001
SLOW_MPS = 7.0
"""Nobody who is slower needs a yellow to stop beside people on foot: cyclists."""
DEAD_MAN_MAX_S = 180.0
_KMH = 3.6


@dataclass(frozen=True)
class Contradiction:
    """What does not fit together, and the pair (or the one thing) that does not."""

    pair: tuple[str, ...]
    detail: str


def contradictions(sheet: Sheet) -> tuple[Contradiction, ...]:
    """Return every contradiction of a sheet; a sheet with any is not to be used."""
    named = tuple(_names(sheet))
    if named:
        return named
    return (*_fed(sheet), *_relations(sheet), *_times(sheet), *_local(sheet), *_bands(sheet))


def yellow_floor_s(speed_mps: float) -> float:
    """Return the least yellow for an approach: 3.5 s at 50 km/h, 4.5 s at 70, on at that slope, never under 3 s."""
    return max(3.0, 3.5 + (speed_mps * _KMH - 50.0) * 0.05)


def _names(sheet: Sheet) -> Iterator[Contradiction]:
    groups = [group.id for group in sheet.groups]
    lanes = [lane.id for lane in sheet.lanes]
    for kind, names in (
        ("group", groups),
        ("lane", lanes),
        ("exit", list(sheet.exits)),
        ("detector", [detector.id for detector in sheet.detectors]),
    ):
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Contradiction((name,), f"{kind} {name} is there twice")
    ways = {*lanes, *sheet.exits}
    for group in sheet.groups:
        for name in (*group.lanes, *group.exits):
            if name not in ways:
                yield Contradiction((group.id, name), f"group {group.id} names an unknown lane or exit {name}")
    for detector in sheet.detectors:
        for name, share in detector.serves:
            if name not in ways:
                yield Contradiction((detector.id, name), f"detector {detector.id} serves an unknown lane {name}")
            if not 0.0 < share <= 1.0 or sum(part for _, part in detector.serves) > SHARE_SUM_MAX:
                yield Contradiction((detector.id, name), f"the shares of detector {detector.id} are more than all")
    for pair in (*sheet.compatible, *sheet.declared_conflicts, *sheet.yields, *sheet.intergreens_s):
        if pair[0] not in groups or pair[1] not in groups or pair[0] == pair[1]:
            yield Contradiction(pair, f"{pair[0]} and {pair[1]} are not a pair of groups of this junction")


def _fed(sheet: Sheet) -> Iterator[Contradiction]:
    fed = {name for one in sheet.detectors if one.position is DetectorPosition.FEEDER for name, _ in one.serves}
    for lane in sheet.lanes:
        if lane.only_from_feeders and lane.id not in fed:
            yield Contradiction((lane.id,), f"lane {lane.id} is reached past feeders only, and none serves it")


def _relations(sheet: Sheet) -> Iterator[Contradiction]:
    def fits(pair: Pair) -> bool:
        return pair in sheet.compatible or pair[::-1] in sheet.compatible

    for pair in sorted(sheet.declared_conflicts):
        if fits(pair):
            yield Contradiction(pair, f"{pair[0]} and {pair[1]} are listed as compatible and as conflicting")
        for ordered in (pair, pair[::-1]):
            if ordered not in sheet.intergreens_s:
                yield Contradiction(ordered, f"no intergreen from {ordered[0]} to {ordered[1]}, which conflict")
    for pair in sorted(sheet.yields):
        if not fits(pair):
            yield Contradiction(pair, f"{pair[0]} gives way to {pair[1]}, but they are not compatible")
        if pair[::-1] in sheet.yields:
            yield Contradiction(pair, f"{pair[0]} and {pair[1]} would each give way to the other")
    for pair, seconds in sorted(sheet.intergreens_s.items()):
        if fits(pair):
            yield Contradiction(pair, f"an intergreen from {pair[0]} to {pair[1]}, which are compatible")
        floor_s = max(ALL_RED_FLOOR_S, walking_s(sheet.group[pair[0]].crossing_m))
        if seconds < floor_s:
            yield Contradiction(pair, f"the intergreen from {pair[0]} to {pair[1]} is under {floor_s:g} s")


def _times(sheet: Sheet) -> Iterator[Contradiction]:
    speeds = {lane.id: lane.speed_mps for lane in sheet.lanes}
    for group in sheet.groups:
        yield from _group_times(group, max((speeds[lane] for lane in group.lanes), default=0.0))
    for lane in sheet.lanes:
        if lane.speed_mps <= 0 or lane.headway_s <= 0 or lane.storage_m <= 0:
            yield Contradiction((lane.id,), f"lane {lane.id} needs a speed, a headway and a length above 0")


def _group_times(group: SignalGroup, speed_mps: float) -> Iterator[Contradiction]:
    on_foot = group.kind is GroupKind.PEDESTRIAN
    if on_foot != (group.crossing_m > 0.0):
        yield Contradiction((group.id,), f"{group.id}: groups of people on foot, and only they, have a crossing")
    floor_s = _yellow_floor_s(group.kind, speed_mps)
    if group.yellow_s < floor_s - 1e-6:
        yield Contradiction(
            (group.id,), f"yellow of {group.id} is {group.yellow_s:g} s, its speed asks {floor_s:.2g} s"
        )
    if group.all_red_s < ALL_RED_FLOOR_S:
        yield Contradiction((group.id,), f"all-red of {group.id} is under {ALL_RED_FLOOR_S:g} s")
    green_floor_s = max(GREEN_FLOOR_S, walking_s(group.crossing_m / 2))
    if group.minimum_green_s < green_floor_s:
        yield Contradiction((group.id,), f"minimum green of {group.id} is under {green_floor_s:g} s")
    if not group.minimum_green_s < group.maximum_green_s <= group.maximum_wait_s:
        detail = f"minimum green, maximum green and maximum wait of {group.id} must rise in this order"
        yield Contradiction((group.id,), detail)


def _yellow_floor_s(kind: GroupKind, speed_mps: float) -> float:
    """Return the least yellow of a group: people on foot see none, nor do cyclists who share their signal."""
    if kind is GroupKind.PEDESTRIAN and speed_mps <= SLOW_MPS:
        return 0.0
    return YELLOW_CYCLE_FLOOR_S if kind is GroupKind.CYCLE else yellow_floor_s(speed_mps)


def _local(sheet: Sheet) -> Iterator[Contradiction]:
    """Play the local programme for two cycles and report the first rule that it breaks."""
    steps = sheet.local.steps
    allowed = len(sheet.groups)
    for step in steps:
        if len(step.state) != allowed or step.duration_s <= 0:
            yield Contradiction((step.state,), f"a local step needs {allowed} aspects and a duration above 0")
            return
    if not steps:
        yield Contradiction((), "there is no local programme")
        return
    try:
        shown = [sheet.read_state(step.state) for step in steps]
    except ValueError as error:
        yield Contradiction((), f"the local programme shows something unknown: {error}")
        return
    if any(aspect in NEVER_REMOTE for aspects in shown for aspect in aspects.values()):
        yield Contradiction((), "the local programme shows dark or flashing signals")
        return
    second_s = 0.0
    groups = dict(JunctionState.first_seen(sheet, second_s, shown[0]).groups)
    for index in range(2 * len(steps) + 1):
        second_s += steps[(index - 1) % len(steps)].duration_s if index else 0.0
        groups, breach = advance(sheet, groups, second_s, shown[index % len(steps)])
        if breach is not None:
            yield Contradiction(breach.groups, f"the local programme breaks {breach.rule}: {breach.detail}")
            return


def _bands(sheet: Sheet) -> Iterator[Contradiction]:
    """Judge the plan that a supervisor may work with: its stages are safe, and its times leave room."""
    plan = sheet.bands
    if plan is None:
        return
    try:
        stages = list(zip(plan.stages, sheet.band_stages, strict=True))
    except ValueError as error:
        yield Contradiction((), f"a stage of plan {plan.plan} shows something unknown: {error}")
        return
    for stage, green in stages:
        for name in sorted(green):
            foe = next((foe for foe in sheet.foes[name] if foe in green), None)
            if foe is not None:
                yield Contradiction((name, foe), f"a stage of plan {plan.plan} shows {name} and {foe}, which conflict")
            group = sheet.group[name]
            if stage.green_s < group.minimum_green_s or stage.green_s + stage.band_max_s > group.maximum_green_s:
                detail = f"plan {plan.plan} lets {name} be green for less than its minimum or more than its maximum"
                yield Contradiction((name,), detail)
        if not 0.0 <= stage.band_s <= stage.band_max_s:
            yield Contradiction((stage.state,), f"a band of plan {plan.plan} is longer than it may be")
        if (stage.call_input > 0) != (stage.hold_input > 0):
            yield Contradiction(
                (stage.state,), f"a stage of plan {plan.plan} has an input to call it and one to hold it"
            )
    if not 0.0 < plan.interval_s < plan.dead_man_s <= DEAD_MAN_MAX_S:
        yield Contradiction((), f"plan {plan.plan} needs 0 < interval < dead-man time <= {DEAD_MAN_MAX_S:g} s")
