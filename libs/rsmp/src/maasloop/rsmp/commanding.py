"""The way of a command: sent, acknowledged, answered, read back. Pure; the session sends what is due."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

from .events import CommandAccepted, CommandEnded, Outcome, Reading
from .messages import CommandRequest, CommandResponse, Quality, StatusName
from .read_back import Expectation

ANSWER_TIMEOUT_S = 30.0
"""From the acknowledgement of a command to its response."""
READ_BACK_INTERVAL_S = 2.0
"""Between two readings of the status that shows whether a command is carried out."""
READ_BACK_TIMEOUT_S = 150.0
"""From the response to the status that shows it; a plan changes at the end of its cycle."""
COMMANDS_MAX = 200
"""Commands that have not ended."""


SUBJECTS = frozenset({"emergencyroute", "input", "output", "plan", "requestId"})
"""Arguments that say which of several things of a component a command is about."""


class _Stage(Enum):
    SENT = auto()
    ACKNOWLEDGED = auto()
    READING = auto()


@dataclass(slots=True)
class _Command:
    request: CommandRequest
    read_from: str
    expectation: Expectation | None
    stage: _Stage = _Stage.SENT
    ends_s: float = float("inf")
    read_s: float = float("inf")
    values: dict[StatusName, Reading] = field(default_factory=dict)

    @property
    def code(self) -> str:
        return self.request.arguments[0].code

    @property
    def subject(self) -> tuple[object, ...]:
        """What a newer command of this code must be about to take this one's place."""
        named = (each.value for each in self.request.arguments if each.name in SUBJECTS)
        return self.request.address, *named


@dataclass(frozen=True, slots=True)
class CommandTimes:
    """Time-outs of a command, in seconds."""

    answer_timeout_s: float = ANSWER_TIMEOUT_S
    read_back_interval_s: float = READ_BACK_INTERVAL_S
    read_back_timeout_s: float = READ_BACK_TIMEOUT_S


class CommandBook:
    """The commands of one link that have not ended, oldest first."""

    def __init__(self, times: CommandTimes) -> None:
        """Begin without any."""
        self._times = times
        self._open: dict[str, _Command] = {}

    @property
    def full(self) -> bool:
        """Whether no further command may be sent now."""
        return len(self._open) >= COMMANDS_MAX

    @property
    def next_s(self) -> float | None:
        """When the next reading or time-out is due, in monotonic seconds."""
        return min((min(each.ends_s, each.read_s) for each in self._open.values()), default=None)

    def open(self, request: CommandRequest, read_from: str, expected: Expectation | None) -> list[CommandEnded]:
        """Follow a command; one of the same code, component and subject that is only unconfirmed gives way."""
        new = _Command(request, read_from, expected)
        old = [
            id_
            for id_, each in self._open.items()
            if each.stage is _Stage.READING and each.code == new.code and each.subject == new.subject
        ]
        self._open[request.message_id] = new
        return [self._end(id_, Outcome.SUPERSEDED) for id_ in old]

    def acknowledged(self, id_: str, now_s: float) -> None:
        """The site understood the request."""
        if command := self._open.get(id_):
            command.stage, command.ends_s = _Stage.ACKNOWLEDGED, now_s + self._times.answer_timeout_s

    def refused(self, id_: str, reason: str) -> list[CommandEnded]:
        """The site refused the request."""
        return [self._end(id_, Outcome.REFUSED, reason)] if id_ in self._open else []

    def answered(self, response: CommandResponse, now_s: float) -> list[CommandAccepted | CommandEnded]:
        """Judge a response: it belongs to the oldest unanswered command of its component and its values."""
        found = next((each for each in self._open.values() if _answers(response, each)), None)
        if found is None:
            return []
        id_ = found.request.message_id
        ages = {each.age for each in response.values}
        if Quality.UNDEFINED in ages:
            return [self._end(id_, Outcome.UNDEFINED)]
        if Quality.UNKNOWN in ages:
            return [self._end(id_, Outcome.UNKNOWN)]
        if differing := _differing(found.request, response):
            return [self._end(id_, Outcome.REFUSED, f"the site answered with another {', '.join(differing)}")]
        if found.expectation is None:
            return [self._end(id_, Outcome.ACCEPTED)]
        found.stage, found.ends_s, found.read_s = _Stage.READING, now_s + self._times.read_back_timeout_s, now_s
        return [CommandAccepted(id_)]

    def reported(self, component: str, readings: Iterable[Reading], seen: datetime) -> list[CommandEnded]:
        """Confirm the commands that these readings show; what was kept while a link was down shows nothing."""
        told = {StatusName(each.code, each.name): each for each in readings if not each.problem}
        recent = {name: each for name, each in told.items() if each.quality is Quality.RECENT}
        confirmed, unshown = [], {}
        for id_, command in self._open.items():
            expected = command.expectation
            if command.stage is _Stage.READING and command.read_from == component and expected is not None:
                command.values |= {name: each for name, each in recent.items() if name in expected.names}
                lacking = [name.code for name in expected.names if name in told and told[name].quality.valueless]
                if expected.met_by({name: each.value for name, each in command.values.items()}):
                    confirmed.append((id_, tuple(command.values.values())))
                elif lacking:
                    unshown[id_] = f"the site has no value of {lacking[0]}"
        ended = [self._end(id_, Outcome.CONFIRMED, "", evidence, seen) for id_, evidence in confirmed]
        return ended + [self._end(id_, Outcome.ACCEPTED, detail) for id_, detail in unshown.items()]

    def unreadable(self, component: str, names: tuple[StatusName, ...], reason: str) -> list[CommandEnded]:
        """End the commands that only these statuses could show: the site refuses to tell them."""
        ended = [
            id_
            for id_, each in self._open.items()
            if each.stage is _Stage.READING and each.read_from == component
            if each.expectation is not None and each.expectation.names == names
        ]
        return [self._end(id_, Outcome.ACCEPTED, f"the site does not tell {names[0].code}: {reason}") for id_ in ended]

    def ended_by(self, now_s: float) -> list[CommandEnded]:
        """End the commands whose time is over."""
        late = [(id_, each.stage) for id_, each in self._open.items() if now_s >= each.ends_s]
        return [
            self._end(id_, Outcome.NOT_CONFIRMED if stage is _Stage.READING else Outcome.UNANSWERED)
            for id_, stage in late
        ]

    def readings_due(self, now_s: float) -> Iterator[tuple[str, tuple[StatusName, ...]]]:
        """Yield component and names of what is to be read now."""
        for command in self._open.values():
            if command.expectation is not None and now_s >= command.read_s:
                command.read_s = now_s + self._times.read_back_interval_s
                yield command.read_from, command.expectation.names

    def lost(self) -> list[CommandEnded]:
        """End all: the link is gone."""
        return [self._end(id_, Outcome.LINK_LOST) for id_ in list(self._open)]

    def _end(
        self,
        id_: str,
        outcome: Outcome,
        detail: str = "",
        evidence: tuple[Reading, ...] = (),
        seen: datetime | None = None,
    ) -> CommandEnded:
        command = self._open.pop(id_)
        return CommandEnded(id_, command.request.address.component, command.code, outcome, detail, evidence, seen)


def _answers(response: CommandResponse, command: _Command) -> bool:
    asked = {(each.code, each.name) for each in command.request.arguments}
    return (
        command.stage is not _Stage.READING
        and response.address.component == command.request.address.component
        and {(each.code, each.name) for each in response.values} <= asked
    )


def _differing(request: CommandRequest, response: CommandResponse) -> list[str]:
    """Return the names of other values than ordered; a site need not repeat a security code."""
    ordered = {each.name: each.value for each in request.arguments if not each.name.lower().endswith("securitycode")}
    return [each.name for each in response.values if each.value != ordered.get(each.name, each.value)]
