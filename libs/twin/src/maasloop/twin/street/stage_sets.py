"""The stages that a controller can show beyond those of its own plan: groups that may be green together."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from .network import SignalNetwork

_STEPS_MAX = 20_000


def calm_states(network: SignalNetwork) -> list[str]:
    """Return the states of every largest set of groups none of which gives way to another, first those with most green."""
    usable = [i for i, group in enumerate(network.groups) if group.links]
    apart = {frozenset(pair) for pair in (*network.conflicts, *network.yields)}
    friends = {i: {j for j in usable if j != i and frozenset((i, j)) not in apart} for i in usable}
    largest = sorted(_largest(friends), key=lambda one: (-len(one), sorted(one)))
    return ["".join("G" if i in green else "r" for i in range(len(network.groups))) for green in largest]


def _largest(friends: Mapping[int, AbstractSet[int]]) -> set[frozenset[int]]:
    """Enumerate the maximal sets in which all are friends (Bron and Kerbosch, with a pivot), bounded in work."""
    found: set[frozenset[int]] = set()
    pending: list[tuple[frozenset[int], set[int], set[int]]] = [(frozenset(), set(friends), set())]
    for _ in range(_STEPS_MAX):
        if not pending:
            break
        chosen, candidates, excluded = pending.pop()
        if not candidates and not excluded:
            found.add(chosen)
            continue
        pivot = max(sorted(candidates | excluded), key=lambda one: len(candidates & friends[one]))
        for one in sorted(candidates - friends[pivot]):
            near = friends[one]
            pending.append((chosen | {one}, candidates & near, excluded & near))
            candidates = candidates - {one}
            excluded = excluded | {one}
    return found
