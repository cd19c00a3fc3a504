"""Time plans: stages in their order, and how long each lasts when bands, cycle time and minimum greens are counted in.

A dynamic band has the number of its stage and makes it longer (command M0014). Where the cycle time is fixed the other
stages make up for it, none below what its clearance and minimum greens need; where even that is not enough the cycle
is longer than ordered.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """Groups that are green together."""

    groups: frozenset[str]
    length_s: int
    """With the clearance that leads into it, and without a band."""
    extension_s: int = 0
    """How much longer vehicles may hold it, where control is isolated and not at fixed times."""
    on_call: bool = False
    """It is left out while nobody asks for it, under the same conditions."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A time plan."""

    number: int
    cycle_s: int
    offset_s: int
    coordinated: bool
    """The cycle counter follows the clock, so that junctions with one cycle time stay in step."""
    stages: tuple[Stage, ...]


def stage_lengths(wanted_s: Sequence[int], least_s: Sequence[int], cycle_s: int) -> list[int]:
    """Share a cycle among stages in proportion to what each wants, in whole seconds, none below its least."""
    if cycle_s <= sum(least_s):
        return list(least_s)
    held: set[int] = set()
    while True:
        free = [i for i in range(len(wanted_s)) if i not in held]
        left_s = cycle_s - sum(least_s[i] for i in held)
        weight = sum(max(1, wanted_s[i]) for i in free)
        shares = [max(1, each) * left_s / weight for each in wanted_s]
        short = [i for i in free if shares[i] < least_s[i]]
        if not short:
            break
        held.update(short)
    lengths = [least_s[i] if i in held else int(shares[i]) for i in range(len(wanted_s))]
    by_rest = sorted(free, key=lambda i: shares[i] - int(shares[i]), reverse=True)
    for i in by_rest[: cycle_s - sum(lengths)]:
        lengths[i] += 1
    return lengths


def stage_at(lengths_s: Sequence[int], counter_s: float) -> tuple[int, float]:
    """Return the stage that is due at a point of the cycle, by index, and how long it has been."""
    for index, length_s in enumerate(lengths_s):
        if counter_s < length_s:
            return index, counter_s
        counter_s -= length_s
    return len(lengths_s) - 1, float(lengths_s[-1])
