"""The stages a junction can show: every maximal set of groups that may be green together, not only the plan's own."""

from collections.abc import Mapping, Set as AbstractSet

from .sheet import Sheet

STAGES_MAX = 96
_STEPS_MAX = 20_000

Stage = frozenset[str]


def stages_of(sheet: Sheet) -> tuple[Stage, ...]:
    """Return the maximal compatible sets of groups, the largest first, at most ``STAGES_MAX``.

    The stages of the local programme, filled up, are always among them, so that every group that the plan serves is.
    """
    usable = [group.id for group in sheet.groups if group.lanes]
    friends = {one: set(usable) - set(sheet.foes[one]) - {one} for one in usable}
    found = _cliques(friends)
    own = [_filled(stage, usable, friends) for stage in _local_stages(sheet)]
    ordered = sorted(found, key=lambda stage: (-len(stage), sorted(stage)))
    return tuple(dict.fromkeys([*own, *ordered]))[:STAGES_MAX]


def _local_stages(sheet: Sheet) -> list[Stage]:
    stages = []
    for step in sheet.local.steps:
        shown = sheet.read_state(step.state)
        stage = frozenset(name for name, aspect in shown.items() if aspect.value in "Gg" and sheet.group[name].lanes)
        if stage and "y" not in step.state:
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
