"""Requests for priority (command M0022, status S0033) and their states, as the exchange list orders them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .sheet import PrioritySheet

REQUESTS_MAX = 100
"""Requests that have not ended; further ones are rejected."""
TOLD_S = 0.3
"""An ended request stays in the list long enough to be told once."""


class State(StrEnum):
    """Of a request."""

    RECEIVED = "received"
    QUEUED = "queued"
    ACTIVATED = "activated"
    COMPLETED = "completed"
    TIMEOUT = "timeout"
    REJECTED = "rejected"
    COOLDOWN = "cooldown"
    STALE = "stale"


OPEN = frozenset({State.RECEIVED, State.QUEUED, State.ACTIVATED})


@dataclass(slots=True)
class Request:
    """A request for one signal group."""

    id: str
    group: str
    level: int
    state: State
    since_s: float
    since: datetime

    def turn(self, state: State, now_s: float, now: datetime) -> None:
        """Go into another state."""
        self.state, self.since_s, self.since = state, now_s, now


class Priorities:
    """All requests of a controller, in the order in which they came."""

    def __init__(self, sheet: PrioritySheet, conflicting: Callable[[str, str], bool]) -> None:
        """Begin without any."""
        self._sheet = sheet
        self._conflicting = conflicting
        self._requests: dict[str, Request] = {}
        self._ended_s: dict[str, float] = {}

    def __iter__(self) -> Iterator[Request]:
        """Return the requests, the ended ones that are still told included."""
        return iter(self._requests.values())

    def known(self, request_id: str) -> bool:
        """Tell whether a request can be updated or cancelled."""
        found = self._requests.get(request_id)
        return found is not None and found.state in OPEN

    @property
    def activated(self) -> str:
        """Return the group that has priority; empty: none."""
        found = [each for each in self if each.state is State.ACTIVATED]
        return max(found, key=lambda each: each.level).group if found else ""

    def ask(self, request_id: str, group: str, level: int, now_s: float, now: datetime) -> None:
        """Take a new request; without a group that exists it is rejected."""
        full = sum(each.state in OPEN for each in self) >= REQUESTS_MAX
        state = State.RECEIVED if group and not full else State.REJECTED
        cooled_s = self._ended_s.get(group, float("-inf")) + self._sheet.cooldown_s
        if state is State.RECEIVED and self._sheet.cooldown_s and now_s < cooled_s:
            state = State.COOLDOWN
        self._requests[request_id] = Request(request_id, group, level, state, now_s, now)

    def update(self, request_id: str, level: int | None) -> None:
        """Change the level of a request that is known."""
        if level is not None:
            self._requests[request_id].level = level

    def cancel(self, request_id: str, now_s: float, now: datetime) -> None:
        """End a request that is known."""
        self._end(self._requests[request_id], State.COMPLETED, now_s, now)

    def step(self, now_s: float, now: datetime, unattended: State) -> None:
        """Let time pass; ``unattended`` is how an activated request ends that nobody cancels."""
        for each in [each for each in self if each.state not in OPEN and now_s - each.since_s >= TOLD_S]:
            del self._requests[each.id]
        for each in self:
            age_s = now_s - each.since_s
            if each.state is State.ACTIVATED and age_s >= self._sheet.stale_after_s:
                self._end(each, unattended, now_s, now)
            elif each.state is State.QUEUED and age_s >= self._sheet.queued_at_most_s:
                self._end(each, State.TIMEOUT, now_s, now)
        waiting = [each for each in self if each.state in {State.RECEIVED, State.QUEUED}]
        for each in sorted(waiting, key=lambda each: -each.level):
            self._activate(each, now_s, now)

    def _activate(self, request: Request, now_s: float, now: datetime) -> None:
        if request.state is State.RECEIVED and now_s - request.since_s < self._sheet.activated_after_s:
            return
        active = [each.group for each in self if each.state is State.ACTIVATED]
        if not any(self._conflicting(group, request.group) for group in active):
            request.turn(State.ACTIVATED, now_s, now)
        elif request.state is State.RECEIVED:
            request.turn(State.QUEUED, now_s, now)

    def _end(self, request: Request, state: State, now_s: float, now: datetime) -> None:
        request.turn(state, now_s, now)
        self._ended_s[request.group] = now_s
