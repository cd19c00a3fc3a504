"""Predicts when each signal group changes, for cyclists' apps and route advice (SPAT: signal phase and timing).

What is already fixed is certain: a sequence that was permitted is played unchanged, and a local programme that nobody will
interrupt goes on. Before what comes after it lie hard bounds (minimum green, clearances, maximum wait of who is called);
within them the prediction is what this group's greens and reds have lasted before.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from .aspects import GREENS, Aspect, Aspects
from .kernel import SequenceRequest
from .sequence import starts_of
from .sheet import Sheet
from .state import JunctionState, shown

HISTORY_MAX = 64
"""Greens, and reds, of a group that are remembered."""
HISTORY_MIN = 4
"""With fewer to compare with, what comes after the certain part is a guess."""
GUESS_CONFIDENCE = 0.5
LOCAL_AHEAD_MAX_S = 300


class Signal(StrEnum):
    """What a change is counted between: both kinds of green are one."""

    GO = "go"
    CLEARING = "clearing"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Change:
    """When a group changes next, as field seconds, and the chance that it does within the first and the last of them."""

    earliest_s: float
    likely_s: float
    latest_s: float
    confidence: float


def signal_of(aspect: Aspect) -> Signal | None:
    """Return what an aspect means to who waits; nothing for one that no plan knows (dark, flashing)."""
    if aspect in GREENS:
        return Signal.GO
    return {Aspect.YELLOW: Signal.CLEARING, Aspect.RED: Signal.STOP}.get(aspect)


class Predictor:
    """Watches one junction and predicts its groups."""

    def __init__(self, sheet: Sheet) -> None:
        """Begin with nothing to compare with."""
        self._sheet = sheet
        self._lasted: dict[tuple[str, Signal], deque[float]] = {}
        self._began: dict[str, tuple[Signal | None, float | None]] = {}
        self._texts: deque[str] = deque(maxlen=2)
        self._text_since_s: float | None = None
        self._cycle_s = sum(step.duration_s for step in sheet.local.steps)
        self.yielded: set[str] = set()
        """Groups whose last green was a yielding one."""

    def hear(self, state: JunctionState) -> None:
        """Take in what was shown in a second."""
        for name, group in state.groups.items():
            signal = signal_of(group.aspect)
            before, began_s = self._began.get(name, (None, None))
            if group.aspect in GREENS:
                (self.yielded.add if group.aspect is Aspect.YIELDING else self.yielded.discard)(name)
            if name in self._began and signal is before:
                continue
            if before is not None and began_s is not None:
                lasted = self._lasted.setdefault((name, before), deque(maxlen=HISTORY_MAX))
                lasted.append(state.second_s - began_s)
            # How long what was found at the beginning had been there already is not known.
            self._began[name] = signal, state.second_s if name in self._began else None
        text = self._sheet.state_text(state.aspects())
        if not self._texts or text != self._texts[-1]:
            self._text_since_s = state.second_s if self._texts else None
            self._texts.append(text)

    def predict(
        self, state: JunctionState, running: SequenceRequest | None, *, local_until_s: float | None = -math.inf
    ) -> dict[str, Change]:
        """Return the next change of each group, after the decision on the second of ``state`` was taken.

        ``running`` is the sequence permitted last, ``local_until_s`` until when nobody interrupts the local programme,
        nothing where the site plays another one.
        """
        fixed = list(self._fixed(state, running, local_until_s))
        changes: dict[str, Change] = {}
        # Under a lease nothing changes in the next second but what was asked for.
        groups, until_s = dict(state.groups), state.second_s + (state.lease is not None)
        for second_s, aspects in fixed:
            for name, aspect in aspects.items():
                if name not in changes and signal_of(aspect) is not signal_of(state.groups[name].aspect):
                    changes[name] = Change(second_s, second_s, second_s, 1.0)
                groups[name] = shown(groups[name], second_s, aspect)
            until_s = max(until_s, second_s)
        after = replace(state, second_s=until_s, groups=groups)
        # A decision on the last certain second acts from the next one.
        starts_s = starts_of(self._sheet, after, until_s + 1)
        for name, group in groups.items():
            signal = signal_of(group.aspect)
            if name in changes or signal is None:
                continue
            timing = self._sheet.group[name]
            earliest_s = until_s + 1
            if signal is Signal.STOP:
                earliest_s += starts_s[name]
            elif signal is Signal.GO:
                earliest_s = max(earliest_s, math.ceil(group.since_s + timing.minimum_green_s))
            latest_s = math.inf
            if signal is Signal.STOP and group.called_since_s is not None:
                latest_s = max(group.since_s, group.called_since_s) + timing.maximum_wait_s
            changes[name] = self._expected(name, signal, state.second_s, earliest_s, latest_s)
        return changes

    def _fixed(
        self, state: JunctionState, running: SequenceRequest | None, local_until_s: float | None
    ) -> Iterator[tuple[float, Aspects]]:
        """Yield the states to come that nothing will change, by rising second."""
        now_s = state.second_s
        if running is not None and running.not_before_s <= now_s + 1 <= running.expires_s:
            for step in running.steps:
                if running.not_before_s + step.offset_s > now_s:
                    yield running.not_before_s + step.offset_s, step.aspects
            if running.ends_s > now_s or state.lease is not None:
                return
        if local_until_s is not None and (state.lease is None or local_until_s > now_s):
            yield from self._local(now_s, local_until_s)

    def _local(self, now_s: float, until_s: float) -> Iterator[tuple[float, Aspects]]:
        """Yield what the local programme shows next, where it is recognised: as long as nobody can take over from it.

        A controller takes over in a stage and never in a clearance.
        """
        place = self._place()
        if place is None or self._text_since_s is None:
            return
        steps = self._sheet.local.steps
        ends_s = self._text_since_s + steps[place].duration_s
        second_s = now_s
        while second_s < now_s + LOCAL_AHEAD_MAX_S:
            second_s += 1
            while second_s >= ends_s:
                place = (place + 1) % len(steps)
                ends_s += max(1.0, steps[place].duration_s)
            aspects = self._sheet.read_state(steps[place].state)
            yield second_s, aspects
            if second_s >= until_s and Aspect.YELLOW not in aspects.values():
                return

    def _place(self) -> int | None:
        """Return the step of the local programme that is shown, told by what was shown before where several look alike."""
        steps = self._sheet.local.steps
        if not self._texts:
            return None
        alike = [place for place, step in enumerate(steps) if step.state == self._texts[-1]]
        if len(alike) > 1:
            alike = [place for place in alike if steps[place - 1].state == self._texts[0]]
        return alike[0] if len(alike) == 1 else None

    def _expected(self, name: str, signal: Signal, now_s: float, earliest_s: float, latest_s: float) -> Change:
        """Compare with what lasted longer than this one has by now; of n alike, n in n + 1 end before the longest.

        Demand changes, and with it how long things last: so the longest counts from now on, and not from the beginning.
        """
        _, began_s = self._began.get(name, (None, None))
        lasted = self._lasted.get((name, signal), ())
        ends = sorted(began_s + one for one in lasted if began_s + one > now_s) if began_s is not None else []
        longest_s = max(lasted, default=0.0)
        if len(ends) >= HISTORY_MIN:
            confidence, likely_s = len(ends) / (len(ends) + 1), ends[len(ends) // 2]
        else:
            confidence, likely_s, longest_s = GUESS_CONFIDENCE, earliest_s, max(longest_s, self._cycle_s)
        latest_s = max(earliest_s, min(latest_s, now_s + longest_s))
        return Change(earliest_s, min(max(likely_s, earliest_s), latest_s), latest_s, confidence)
