"""A signal controller as it stands in the street: its own programme, and sequences played unchanged when they arrive.

It obeys a sequence only if it starts from what is shown, in time; when the sequence expires and nothing follows, it
returns to its local programme through its own clearance. It shares no code with the kernel that judges requests.
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

from .network import GREEN, GREEN_MIN_S
from .programme import Step
from .site import Junction

SEQUENCES_REMEMBERED_MAX = 256
AHEAD_MAX_S = 10
EXPIRY_MAX_S = 180
STEPS_MAX = 64


class Answer(StrEnum):
    """What the controller says to a sequence."""

    ACCEPTED = "ACCEPTED"
    MALFORMED = "MALFORMED"
    LATE = "LATE"
    TOO_EARLY = "TOO_EARLY"
    EXPIRED = "EXPIRED"
    BUSY = "BUSY"
    START_STATE_DIFFERS = "START_STATE_DIFFERS"


@dataclass(frozen=True)
class Sequence:
    """A timed sequence as it arrives: state texts by whole seconds after ``not_before_s``."""

    id: str
    start_state: str
    not_before_s: int
    expires_s: int
    steps: tuple[tuple[int, str], ...]

    @property
    def ends_s(self) -> int:
        """Return the second from which the last state is shown."""
        return self.not_before_s + self.steps[-1][0]


class SignalDevice:
    """One controller. Call ``tick`` once a second with a rising second; it returns the state to show in that second."""

    def __init__(self, junction: Junction, *, monitor_enforces: bool = False) -> None:
        """Begin in the local programme; the conflict monitor counts always and turns all red only if it enforces."""
        self.junction = junction
        self.state = ""
        self.conflicts_seen = 0
        self.refused_at_start: list[str] = []
        self._monitor_enforces = monitor_enforces
        self._steps = junction.local.steps
        self._green_since = [0] * len(junction.network.groups)
        self._second = -1
        self._playing: Sequence | None = None
        self._waiting: Sequence | None = None
        self._script: list[tuple[int, str]] = []
        self._local_from = 0
        self._answers: OrderedDict[str, Answer] = OrderedDict()

    @property
    def remote(self) -> bool:
        """Tell whether a sequence rules, rather than the local programme."""
        return self._playing is not None

    def accept(self, sequence: Sequence) -> Answer:
        """Take a sequence or say why not; an id that is known gets its first answer again."""
        known = self._answers.get(sequence.id)
        if known is not None:
            return known
        answer = self._judge(sequence)
        if answer is Answer.ACCEPTED:
            self._waiting = sequence
        self._answers[sequence.id] = answer
        while len(self._answers) > SEQUENCES_REMEMBERED_MAX:
            self._answers.popitem(last=False)
        return answer

    def tick(self, second: int) -> str:
        """Return the state to show in ``second``."""
        if self._waiting is not None and second >= self._waiting.not_before_s:
            self._begin(self._waiting)
        if self._playing is not None and second >= self._playing.expires_s:
            self._return_to_local(second)
        state = self._scripted(second)
        self._note(second, state)
        return self.state

    def release(self, second: int) -> None:
        """Give up remote control: return to the local programme from ``second`` on, a running sequence played out."""
        self._waiting = None
        if self._playing is not None:
            ends_s = max(second, self._playing.ends_s + 1)
            self._playing = Sequence(
                self._playing.id, self._playing.start_state, self._playing.not_before_s, ends_s, self._playing.steps
            )

    def _judge(self, sequence: Sequence) -> Answer:
        offsets = [offset for offset, _ in sequence.steps]
        size = len(self.junction.network.groups)
        rising = bool(offsets) and offsets[0] == 0 and offsets == sorted(set(offsets))
        whole = all(len(state) == size and not set(state) - set("ryGg") for _, state in sequence.steps)
        if not rising or not whole or len(offsets) > STEPS_MAX:
            return Answer.MALFORMED
        if sequence.not_before_s <= self._second:
            return Answer.LATE
        if sequence.not_before_s > self._second + AHEAD_MAX_S:
            return Answer.TOO_EARLY
        if not sequence.ends_s < sequence.expires_s <= self._second + EXPIRY_MAX_S:
            return Answer.EXPIRED
        if self._waiting is not None or (self._playing is not None and sequence.not_before_s < self._playing.ends_s):
            return Answer.BUSY
        if sequence.not_before_s == self._second + 1 and sequence.start_state != self.state:
            return Answer.START_STATE_DIFFERS
        return Answer.ACCEPTED

    def _begin(self, sequence: Sequence) -> None:
        self._waiting = None
        if sequence.start_state != self.state:
            self.refused_at_start.append(sequence.id)
            self._answers[sequence.id] = Answer.START_STATE_DIFFERS
            return
        self._playing = sequence
        self._script = [(sequence.not_before_s + offset, state) for offset, state in sequence.steps]

    def _scripted(self, second: int) -> str:
        if self._playing is None and second >= self._local_from:
            return self._local(second)
        shown = self.state
        for since, state in self._script:
            if since <= second:
                shown = state
        return shown

    def _local(self, second: int) -> str:
        return self._steps[self.junction.local.position(second)[0]].state

    def _return_to_local(self, second: int) -> None:
        """Write the script of the way back: the stage that is due once the clearance is over, if need be early."""
        self._playing = None
        now = self.state
        greens = [i for i, shown in enumerate(now) if shown in GREEN]
        groups = self.junction.network.groups
        begins = max([second, *(self._green_since[i] + groups[i].green_min_s for i in greens)])
        longest = max(group.yellow_s + group.clearance_s for group in groups)
        target, from_second = self._stage_due(begins + longest)
        ending = [i for i in greens if target.state[i] not in GREEN]
        starts = begins + longest if ending else max(second, self._cleared_at(now, second))
        self._script = [(second, now)]
        for moment in range(begins, starts) if ending else ():
            self._script.append((moment, self._clearing(now, target.state, ending, moment - begins)))
        self._script.append((starts, target.state))
        self._local_from = max(from_second, starts)

    def _cleared_at(self, now: str, second: int) -> int:
        # Nothing ends, but something may just have become red: give it the same time to leave.
        return second + max(group.clearance_s for group in self.junction.network.groups) if "r" in now else second

    def _clearing(self, now: str, target: str, ending: list[int], passed_s: int) -> str:
        shown = []
        for i, aspect in enumerate(now):
            if i in ending:
                shown.append("y" if passed_s < self.junction.network.groups[i].yellow_s else "r")
            elif aspect in GREEN:
                shown.append("g" if "g" in (aspect, target[i]) else "G")
            else:
                shown.append("r")
        return "".join(shown)

    def _stage_due(self, second: int) -> tuple[Step, int]:
        """Return the stage to show at a second, and from when the local programme can be followed again.

        It is the first in which each group is green for long enough, or where there is none in a cycle the first stage.
        """
        position = self.junction.local.position
        index, left_s = position(second)
        later: tuple[Step, int] | None = None
        for _ in range(len(self._steps) + 1):
            if self._steps[index].stage and left_s >= GREEN_MIN_S:
                if self._lasts(index, left_s):
                    return self._steps[index], second
                later = later or (self._steps[index], second)
            second += left_s
            index, left_s = position(second)
        return later or (self._steps[index], second)

    def _lasts(self, index: int, left_s: int) -> bool:
        """Tell whether every group that a stage shows green for so long still gets its shortest green in the programme."""
        shown = zip(self.junction.network.groups, self._steps[index].state, strict=True)
        return all(
            self._green_left_s(i, index, left_s) >= group.green_min_s
            for i, (group, aspect) in enumerate(shown)
            if aspect in GREEN
        )

    def _green_left_s(self, i: int, index: int, left_s: int) -> int:
        """Return for how long a group stays green that does so for the rest of a step."""
        for ahead in range(1, len(self._steps)):
            step = self._steps[(index + ahead) % len(self._steps)]
            if step.state[i] not in GREEN:
                break
            left_s += step.duration_s
        return left_s

    def _note(self, second: int, state: str) -> None:
        if self._conflicting(state):
            self.conflicts_seen += 1
            if self._monitor_enforces:
                state = "r" * len(state)
        for i, aspect in enumerate(state):
            was_green = i < len(self.state) and self.state[i] in GREEN
            if aspect in GREEN and not was_green:
                self._green_since[i] = second
        self.state = state
        self._second = second

    def _conflicting(self, state: str) -> bool:
        network = self.junction.network
        if any(state[i] in GREEN and state[j] in GREEN for i, j in network.conflicts):
            return True
        return any(state[i] == "G" and state[j] == "G" for i, j in network.yields)
