"""The local programme of a signal controller: the network's own plan with every clearance stretched to the safe length.

The cycle is kept by shortening the greens in proportion, none below the minimum; only where that is not enough does
the cycle grow. Where the plan shows two foes in protected green together, the minor one yields.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .network import GREEN, GREEN_MIN_S, SignalNetwork


@dataclass(frozen=True)
class Step:
    """A signal state and the whole seconds it is shown; a stage is what lies between clearances."""

    state: str
    duration_s: int
    stage: bool = False


@dataclass(frozen=True)
class LocalProgramme:
    """The steps of one cycle; ``offset_s`` is the field second at which a cycle begins."""

    steps: tuple[Step, ...]
    offset_s: int

    @property
    def cycle_s(self) -> int:
        """Return the length of the cycle."""
        return sum(step.duration_s for step in self.steps)

    def position(self, second: int) -> tuple[int, int]:
        """Return the index of the step that is shown at a second, and the seconds it still lasts."""
        into = (second - self.offset_s) % self.cycle_s
        for index, step in enumerate(self.steps):
            if into < step.duration_s:
                return index, step.duration_s - into
            into -= step.duration_s
        return 0, self.steps[0].duration_s


def local_programme(network: SignalNetwork) -> LocalProgramme:
    """Stretch the clearances of the network's own programme and keep its cycle."""
    stages = _stages(network)
    if len(stages) == 1:
        return LocalProgramme((Step(stages[0][0], max(1, round(stages[0][1])), stage=True),), round(network.offset_s))
    own_cycle_s = round(sum(phase.duration_s for phase in network.phases))
    clearances = [
        clearance(network, state, stages[(index + 1) % len(stages)][0]) for index, (state, _) in enumerate(stages)
    ]
    lost_s = sum(step.duration_s for steps in clearances for step in steps)
    greens = share_greens([duration for _, duration in stages], own_cycle_s - lost_s)
    steps: list[Step] = []
    for (state, _), green_s, cleared in zip(stages, greens, clearances, strict=True):
        steps.append(Step(state, green_s, stage=True))
        steps.extend(cleared)
    return LocalProgramme(tuple(_for_walkers(network, steps)), round(network.offset_s))


def clearance(network: SignalNetwork, before: str, after: str) -> list[Step]:
    """Return the steps between two stages: yellow for what ends, then red until everything that starts may start."""
    ending = [i for i, now in enumerate(before) if now in GREEN and after[i] not in GREEN]
    starting = [i for i, now in enumerate(before) if now not in GREEN and after[i] in GREEN]
    length_s = max((_clears_s(network, i, starting) for i in ending), default=0)
    states: list[str] = []
    for second in range(length_s):
        shown = ["r"] * len(before)
        for i, now in enumerate(before):
            if i in ending:
                shown[i] = "y" if second < network.groups[i].yellow_s else "r"
            elif now in GREEN:
                # Who stays green yields if it yields on either side: a foe may still be moving off.
                shown[i] = "g" if "g" in (now, after[i]) else "G"
        states.append("".join(shown))
    return _merge(states)


def _clears_s(network: SignalNetwork, ending: int, starting: Sequence[int]) -> int:
    """Return how long the end of a group's green takes; people on foot clear the crossing for those who start only."""
    group = network.groups[ending]
    if group.kind == "pedestrian" and not any(network.conflict(ending, other) for other in starting):
        return group.yellow_s
    return group.yellow_s + group.clearance_s


def _for_walkers(network: SignalNetwork, steps: list[Step]) -> list[Step]:
    """Give people on foot what the plan does not: green long enough, and time to leave before anything else starts.

    That is their own next green, a foe, or who no longer gives way to them. Steps grow where they must, and the cycle
    with them.
    """
    found = list(steps)
    for walker, group in enumerate(network.groups):
        if group.kind != "pedestrian" or not any(step.state[walker] in GREEN for step in found):
            continue
        for index, step in enumerate(found):
            if step.state[walker] in GREEN:
                ends = found[(index + 1) % len(found)].state[walker] not in GREEN
                lacking_s = group.green_min_s - _lasted_s(found, index + 1, walker, GREEN) if ends else 0
                found[index] = _longer(step, lacking_s)
                if found[index - 1].state[walker] not in GREEN:
                    lacking_s = group.clearance_s - _lasted_s(found, index, walker, "r")
                    found[index - 1] = _longer(found[index - 1], lacking_s)
                continue
            lacking_s = group.clearance_s - _lasted_s(found, index, walker, "r")
            if lacking_s > 0 and _foe_starts(network, walker, found[index - 1].state, step.state):
                found[index - 1] = _longer(found[index - 1], lacking_s)
            elif lacking_s > 0:
                found[index] = replace(step, state=_unprotected(network, walker, step.state))
    return found


def _longer(step: Step, lacking_s: int) -> Step:
    return replace(step, duration_s=step.duration_s + max(0, lacking_s))


def _lasted_s(steps: Sequence[Step], end: int, group: int, shown: str) -> int:
    """Return for how long a group has shown one of these when the step at ``end`` begins, a cycle at most."""
    passed_s = 0
    for back in range(1, len(steps) + 1):
        if steps[end - back].state[group] not in shown:
            break
        passed_s += steps[end - back].duration_s
    return passed_s


def _foe_starts(network: SignalNetwork, walker: int, before: str, after: str) -> bool:
    return any(now in GREEN and before[i] not in GREEN and network.conflict(walker, i) for i, now in enumerate(after))


def _unprotected(network: SignalNetwork, walker: int, state: str) -> str:
    minors = {minor for minor, major in network.yields if major == walker}
    return "".join("g" if shown == "G" and i in minors else shown for i, shown in enumerate(state))


def _merge(states: Sequence[str]) -> list[Step]:
    steps: list[Step] = []
    for state in states:
        if steps and steps[-1].state == state:
            steps[-1] = Step(state, steps[-1].duration_s + 1)
        else:
            steps.append(Step(state, 1))
    return steps


def _stages(network: SignalNetwork) -> list[tuple[str, float]]:
    """Return the plan's green states with their durations, clearances left out, equal neighbours joined."""
    stages: list[tuple[str, float]] = []
    for phase in network.phases:
        if "y" in phase.state or not any(shown in GREEN for shown in phase.state):
            continue
        state = _safe(network, phase.state)
        if stages and stages[-1][0] == state:
            stages[-1] = (state, stages[-1][1] + phase.duration_s)
        else:
            stages.append((state, phase.duration_s))
    if len(stages) > 1 and stages[0][0] == stages[-1][0]:
        stages[0] = (stages[0][0], stages[0][1] + stages.pop()[1])
    return stages or [("r" * len(network.groups), 1.0)]


def _safe(network: SignalNetwork, state: str) -> str:
    # What is neither green nor yellow (dark, a green arrow after a stop) is red here: nothing else is ever asked for.
    # So is a character that rules no link.
    shown = [now if now in GREEN and network.groups[i].kind != "unused" else "r" for i, now in enumerate(state)]
    for minor, major in network.unsafe_pairs:
        if shown[minor] == "G" and shown[major] == "G":
            shown[minor] = "g"
    return "".join(shown)


def share_greens(greens_s: list[float], available_s: int) -> list[int]:
    """Share the available seconds in proportion to the greens, none below the minimum, in whole seconds."""
    floor = [GREEN_MIN_S] * len(greens_s)
    if available_s <= sum(floor):
        return floor
    fixed: set[int] = set()
    shares = [0.0] * len(greens_s)
    while True:
        free = [i for i in range(len(greens_s)) if i not in fixed]
        left = available_s - sum(floor[i] for i in fixed)
        total = sum(greens_s[i] for i in free)
        shares = [float(floor[i]) if i in fixed else greens_s[i] * left / total for i in range(len(greens_s))]
        short = [i for i in free if shares[i] < floor[i]]
        if not short:
            break
        fixed.update(short)
    whole = [int(share) for share in shares]
    by_rest = sorted(range(len(shares)), key=lambda i: shares[i] - whole[i], reverse=True)
    for i in by_rest[: available_s - sum(whole)]:
        whole[i] += 1
    return whole
