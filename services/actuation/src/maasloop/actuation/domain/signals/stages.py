"""The stages a junction can show: sets of groups that may be green together, not only those of its own plan."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from .sheet import DetectorPosition, Pair, Sheet

STAGES_MAX = 96
SHORT_ROAD_M = 18.0
"""On a shorter road between two signals, with hardly room for two, those behind one who waits fill the junction before."""
FIRST_LOOP_M = 6.0
"""The upstream loops of a road that is shorter than they need lie so far behind its beginning."""
EXIT_LOOP_SHARE = 0.5
"""The exit loops of such a road lie half way."""
TURNING_ROUND = "t"
_STEPS_MAX = 20_000

Stage = frozenset[str]


def stages_of(sheet: Sheet) -> tuple[Stage, ...]:
    """Return the stages of a junction, at most ``STAGES_MAX``.

    They are the local programme's own, as they are and filled up; every maximal compatible set; and every maximal set
    in which nobody has to give way, so that those who do elsewhere get a turn of their own.
    """
    usable = [group.id for group in sheet.groups if group.lanes]
    friends = {one: set(usable) - set(sheet.foes[one]) - {one} for one in usable}
    free = {one: near - set(sheet.majors[one]) for one, near in friends.items()}
    protected = {one: {other for other in near if one in free[other]} for one, near in free.items()}
    own = [_calmed(sheet, stage, friends) for stage in local_stages(sheet)]
    filled = [_filled(stage, usable, friends) for stage in own]
    largest, calm = _ordered(_cliques(friends)), _ordered(_cliques(protected))
    return tuple(dict.fromkeys([*own, *filled, *largest, *calm]))[:STAGES_MAX]


def apart_at_short_roads(sheet: Sheet) -> Sheet:
    """Return a sheet with further pairs that conflict, for the sake of short roads between two signals.

    Nobody who comes from one gives way: two that wait inside for each other's queues at both ends of it would never
    leave, be it that what they give way to is green beside them or starts when their green ends. And nobody is let into
    one from two roads at once.
    """
    short = short_roads(sheet)
    giving_way = [(minor, major) for minor, major in sheet.yields if not short.isdisjoint(sheet.group[minor].lanes)]
    apart = [*giving_way, *_from_two_roads(sheet)]
    pairs = [*apart, *((other, one) for one, other in apart)]
    cleared_s = {(ending, starting): sheet.group[ending].clearance_s for ending, starting in pairs}
    return replace(
        sheet, compatible=sheet.compatible.difference(pairs), intergreens_s={**sheet.intergreens_s, **cleared_s}
    )


def _from_two_roads(sheet: Sheet) -> Iterator[Pair]:
    """Yield the compatible groups that lead from two roads to lanes side by side of a short one.

    Those who come side by side and want each other's lane would never leave; who comes from one road has changed lanes
    before. Lanes are of one road where a loop before them serves both.
    """
    looped = short_exits(sheet)
    short = looped.union(*(sheet.exits_beside[name] for name in looped))
    sorted_out = {lane.id: {lane.id} for lane in sheet.lanes}
    for detector in sheet.detectors:
        if detector.position in {DetectorPosition.UPSTREAM, DetectorPosition.FEEDER}:
            served = {lane for lane, _ in detector.serves}
            for lane in served:
                sorted_out[lane] |= served
    for one, other in sheet.compatible:
        lanes, exits = sheet.group[one].lanes, sheet.group[one].exits
        beside = {name for end in short.intersection(exits) for name in sheet.exits_beside[end]}
        to_both = not beside.isdisjoint(sheet.group[other].exits)
        if to_both and all(sorted_out[lane].isdisjoint(sheet.group[other].lanes) for lane in lanes):
            yield one, other


def short_roads(sheet: Sheet) -> frozenset[str]:
    """Return the lanes of short roads that begin at another signal.

    There are none where one of them goes on to another short road: in a ring of such each junction would wait for the next.
    """
    fed, counted = _served(sheet, DetectorPosition.FEEDER), _served(sheet, DetectorPosition.UPSTREAM)
    lanes = frozenset(
        lane.id
        for lane in sheet.lanes
        if lane.id in fed and lane.storage_m + (FIRST_LOOP_M if lane.id in counted else 0.0) < SHORT_ROAD_M
    )
    exits = short_exits(sheet)
    goes_on = any(
        group.turn != TURNING_ROUND and not lanes.isdisjoint(group.lanes) and not exits.isdisjoint(group.exits)
        for group in sheet.groups
    )
    return frozenset() if goes_on else lanes


def _served(sheet: Sheet, position: DetectorPosition) -> frozenset[str]:
    loops = (detector for detector in sheet.detectors if detector.position is position)
    return frozenset(lane for detector in loops for lane, _ in detector.serves)


def short_exits(sheet: Sheet) -> frozenset[str]:
    """Return the exits with a short road behind: their loop lies nearer than where there is room for it."""
    loops = [one for one in sheet.detectors if one.position is DetectorPosition.EXIT]
    return frozenset(name for one in loops if one.distance_m < EXIT_LOOP_SHARE * SHORT_ROAD_M for name, _ in one.serves)


def _calmed(sheet: Sheet, stage: Stage, friends: Mapping[str, AbstractSet[str]]) -> Stage:
    """Leave out of a stage of the local programme those who may not give way to others of it."""
    return frozenset(name for name in stage if stage.intersection(sheet.majors[name]) <= friends[name])


def _ordered(stages: set[Stage]) -> list[Stage]:
    return sorted(stages, key=lambda stage: (-len(stage), sorted(stage)))


def local_stages(sheet: Sheet) -> list[Stage]:
    """Return the green sets of the local programme that last at least their minimum greens."""
    stages = []
    for step in sheet.local.steps:
        shown = sheet.read_state(step.state)
        stage = frozenset(name for name, aspect in shown.items() if aspect.value in "Gg" and sheet.group[name].lanes)
        lasting = "y" not in step.state and all(sheet.group[name].minimum_green_s <= step.duration_s for name in stage)
        if stage and lasting:
            stages.append(stage)
    return stages


def _filled(stage: Stage, usable: list[str], friends: Mapping[str, AbstractSet[str]]) -> Stage:
    chosen = set(stage)
    for name in usable:
        if name not in chosen and chosen <= friends[name]:
            chosen.add(name)
    return frozenset(chosen)


def _cliques(friends: Mapping[str, AbstractSet[str]]) -> set[Stage]:
    """Enumerate maximal cliques (Bron and Kerbosch, with a pivot), bounded in work."""
    found: set[Stage] = set()
    pending: list[tuple[frozenset[str], set[str], set[str]]] = [(frozenset(), set(friends), set())]
    for _ in range(_STEPS_MAX):
        if not pending:
            break
        chosen, candidates, excluded = pending.pop()
        if not candidates and not excluded:
            found.add(chosen)
            continue
        pivot = max(sorted(candidates | excluded), key=lambda name: len(candidates & friends[name]))
        for name in sorted(candidates - friends[pivot]):
            near = set(friends[name])
            pending.append((chosen | {name}, candidates & near, excluded & near))
            candidates = candidates - {name}
            excluded = excluded | {name}
    return found
