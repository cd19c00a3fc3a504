"""Priority for single vehicles that ask for it: a bus is helped where it costs little, an emergency vehicle gets its way.

A request names the signal group and when its vehicle will be at the line. A conditional one only weighs more when stages
are compared: a green is held, or comes sooner, as far as minimum greens, clearances and the waits of others let it. An
emergency leaves only stages that serve it, early enough for the queue ahead to leave. Nobody is spared the kernel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from maasloop.actuation.domain.authority import Authority

from .sheet import Sheet
from .stages import Stage
from .traffic.estimate import LaneEstimate
from .traffic.forecast import START_LOSS_S, Departure

CONDITIONAL_WEIGHT = 5.0
"""Vehicles that a bus counts for, about as many as the people in it would fill: with six, others lose 5 % by it (decision 0057)."""
CONDITIONAL_AHEAD_S = 8.0
"""Seconds before its arrival, and before the queue ahead of it has gone, from which on a bus counts."""
AHEAD_MAX_S = 120.0
REQUESTS_MAX = 32
PREEMPTION_MAX_S = 120.0
"""An emergency vehicle that has not come by then is not waited for any longer."""
MARGIN_S = 5.0


class PriorityLevel(IntEnum):
    """How much a vehicle may ask for."""

    CONDITIONAL = 1
    EMERGENCY = 2


class PriorityRefusal(StrEnum):
    """Why a request is not taken."""

    GROUP_UNKNOWN = "GROUP_UNKNOWN"
    EXPIRED = "EXPIRED"
    TOO_FAR = "TOO_FAR"
    TOO_MANY = "TOO_MANY"
    LOCKED = "LOCKED"
    """A conflicting group had priority less than a cycle ago."""
    OVERDUE = "OVERDUE"
    """The junction has been kept for it for longer than may be."""


@dataclass(frozen=True)
class PriorityRequest:
    """A vehicle's wish: at the line of ``group`` at field second ``eta_s`` if nothing holds it up; void at ``expires_s``.

    It is repeated with the same id while the vehicle approaches, and lapses when it is not.
    """

    id: str
    group: str
    level: PriorityLevel
    eta_s: float
    expires_s: float


@dataclass(frozen=True)
class _Claim:
    group: str
    eta_s: float
    """Seconds from now."""
    queue_s: float
    """Seconds of green until those ahead are gone."""


class Priorities:
    """The requests at one junction."""

    def __init__(self, sheet: Sheet) -> None:
        """Begin with none."""
        self._sheet = sheet
        self._cycle_s = sum(step.duration_s for step in sheet.local.steps)
        self._beside = {
            one.id: frozenset(other.id for other in sheet.groups if not set(one.lanes).isdisjoint(other.lanes))
            for one in sheet.groups
        }
        self._requests: dict[str, PriorityRequest] = {}
        self._since_s: dict[str, float] = {}
        self._locks: dict[str, float] = {}
        """Groups that had priority, and until when those that conflict with them get none."""
        self._conditional: tuple[str, ...] = ()
        self._claims: tuple[_Claim, ...] = ()
        self._urgent: tuple[PriorityRequest, ...] = ()
        self.first: tuple[str, float] | None = None
        """The group of the emergency that comes first, and when, as long as others can be served before."""

    def ask(self, second_s: float, request: PriorityRequest) -> PriorityRefusal | None:
        """Take a request, or a newer word of one, or say why not."""
        self._lapse(second_s)
        refusal = self._refusal(second_s, request)
        if refusal is None:
            self._requests[request.id] = request
            self._since_s.setdefault(request.id, second_s)
        return refusal

    def weigh(self, second_s: float, lanes: Mapping[str, LaneEstimate]) -> None:
        """Work out what the requests mean in this second, with those ahead of them on their lanes."""
        self._lapse(second_s)
        claims = {one.id: self._claim(one, second_s, lanes) for one in self._requests.values()}
        conditional = [
            one
            for one in self._requests.values()
            if one.level is PriorityLevel.CONDITIONAL
            and claims[one.id].eta_s <= CONDITIONAL_AHEAD_S + claims[one.id].queue_s
        ]
        self._conditional = tuple(one.id for one in conditional)
        self._claims = tuple(claims[one.id] for one in conditional)
        emergencies = [one for one in self._requests.values() if one.level is PriorityLevel.EMERGENCY]
        self._urgent = tuple(
            sorted(
                (one for one in emergencies if claims[one.id].eta_s <= self._lead_s + claims[one.id].queue_s),
                key=lambda one: (one.eta_s, one.id),
            )
        )
        first = next(iter(self._urgent), None)
        leaves_time = first is not None and first.eta_s - second_s >= self._lead_s - MARGIN_S
        self.first = (first.group, first.eta_s) if first is not None and leaves_time else None

    @property
    def authority(self) -> Authority:
        """Return with which authority the junction is asked for."""
        if self._urgent:
            return Authority.EMERGENCY
        return Authority.PRIORITY if self._claims else Authority.ADAPTIVE

    @property
    def reason(self) -> str:
        """Return who is helped, to be added to the reason of a decision; empty where nobody is."""
        if self._urgent:
            return f", way for {', '.join(one.id for one in self._urgent)}"
        return f", priority for {', '.join(self._conditional)}" if self._conditional else ""

    @property
    def making_way(self) -> frozenset[str]:
        """Return the groups that let emergencies go now, and those ahead of them on their lanes."""
        return frozenset().union(*(self._beside[one.group] for one in self._urgent))

    @property
    def helped(self) -> frozenset[str]:
        """Return the groups of all who are helped now, and of those ahead of emergencies."""
        return self.making_way.union(claim.group for claim in self._claims)

    def departures(self, stage: Stage, starts: Mapping[str, float]) -> list[Departure]:
        """Return when the vehicles that asked would leave under a stage, each with the weight that it has on top."""
        return [
            (max(claim.eta_s, starts[claim.group] + claim.queue_s), CONDITIONAL_WEIGHT, claim.group)
            for claim in self._claims
            if claim.group in stage
        ]

    def order(self, ranked: list[tuple[float, Stage]], current: Stage) -> list[tuple[float, Stage]]:
        """Put stages that serve the emergencies first: all of them, or as many as can be, by their time of arrival.

        Where none can be asked for yet, what is shown stays, so that no other change has to be waited for.
        """
        first = ranked
        for one in self._urgent:
            serving = [pair for pair in first if one.group in pair[1]]
            # Whoever stands ahead of it on its lane has to get away as well, wherever he is going, and wait for no gap.
            going = [pair for pair in serving if self._beside[one.group] <= pair[1]]
            first = [pair for pair in going if not self._gives_way(one.group, pair[1])] or going or serving or first
        if not self._urgent or first is not ranked:
            return [*first, *(pair for pair in ranked if pair not in first)]
        return [pair for pair in ranked if pair[1] == current]

    def _gives_way(self, group: str, stage: Stage) -> bool:
        """Tell whether somebody on the lanes of a group has to give way under a stage."""
        return any(not stage.isdisjoint(self._sheet.majors[name]) for name in self._beside[group])

    @property
    def _lead_s(self) -> float:
        """Return the seconds before its arrival at which its way is to be cleared.

        A change that has just begun is played to its end, what it brings is green for the minimum, and only then comes
        the change to the stage that serves it.
        """
        groups = self._sheet.groups
        change_s = max(group.yellow_s + group.clearance_s for group in groups)
        return 2 * change_s + max(group.minimum_green_s for group in groups) + MARGIN_S

    def _claim(self, request: PriorityRequest, second_s: float, lanes: Mapping[str, LaneEstimate]) -> _Claim:
        queue_s = 0.0
        for name in self._sheet.group[request.group].lanes:
            lane = lanes[name]
            ahead = sum(vehicle.weight for vehicle in lane.vehicles if vehicle.at_s < request.eta_s) + lane.beyond
            queue_s = max(queue_s, START_LOSS_S + ahead * lane.headway_s if ahead >= 1.0 else 0.0)
        return _Claim(request.group, max(0.0, request.eta_s - second_s), queue_s)

    def _refusal(self, second_s: float, request: PriorityRequest) -> PriorityRefusal | None:
        if request.group not in self._sheet.group:
            return PriorityRefusal.GROUP_UNKNOWN
        if request.expires_s <= second_s:
            return PriorityRefusal.EXPIRED
        if max(request.eta_s, request.expires_s) > second_s + AHEAD_MAX_S:
            return PriorityRefusal.TOO_FAR
        if request.id not in self._requests and len(self._requests) >= REQUESTS_MAX:
            return PriorityRefusal.TOO_MANY
        if second_s - self._since_s.get(request.id, second_s) > PREEMPTION_MAX_S:
            return PriorityRefusal.OVERDUE
        if request.level is PriorityLevel.CONDITIONAL and request.id not in self._requests:
            foes = self._sheet.foes[request.group]
            if any(group in foes and until_s > second_s for group, until_s in self._locks.items()):
                return PriorityRefusal.LOCKED
        return None

    def _lapse(self, second_s: float) -> None:
        """Forget requests whose time is over; those that conflict with them get no priority for a cycle."""
        for one in [one for one in self._requests.values() if one.expires_s <= second_s]:
            del self._requests[one.id]
            self._locks[one.group] = one.expires_s + self._cycle_s
        for name in [name for name, since_s in self._since_s.items() if self._forgettable(name, since_s, second_s)]:
            del self._since_s[name]

    def _forgettable(self, name: str, since_s: float, second_s: float) -> bool:
        return name not in self._requests and second_s - since_s > 2 * PREEMPTION_MAX_S
