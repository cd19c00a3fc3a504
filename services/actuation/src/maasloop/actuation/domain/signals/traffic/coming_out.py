"""Whose vehicles come out of the junction: those that were seen to leave a lane, or those of a lane that is not seen."""

import math
from collections.abc import Iterable, Mapping

from maasloop.actuation.domain.signals.aspects import GOING, Aspects
from maasloop.actuation.domain.signals.sheet import Sheet

from .estimate import LaneEstimate
from .turning import CROSSING_MAX_S, CROSSING_MIN_S, TurnShares


class ComingOut:
    """Matches who passes the loops of the exits with who left; ``turns`` learns from both."""

    def __init__(self, sheet: Sheet, turns: TurnShares) -> None:
        """Begin with nobody under way."""
        self._sheet = sheet
        self._turns = turns
        self._going_s: dict[str, tuple[float, float]] = {}
        """Since when a group lets its vehicles go, and until when it has."""

    def hear(
        self,
        second_s: float,
        aspects: Aspects,
        passed: Iterable[str],
        silent: frozenset[str],
        unseen: Mapping[str, LaneEstimate],
    ) -> dict[str, float]:
        """Take in what is shown, and the exits that were ``passed``; return how many came from each unseen lane.

        Some change lanes between the junction and the loop: who is not expected in an exit may have been in another one
        of its road. Of ``silent`` exits nobody tells.
        """
        for name, aspect in aspects.items():
            if aspect in GOING:
                since_s, until_s = self._going_s.get(name, (second_s, second_s))
                self._going_s[name] = (since_s if second_s - until_s <= 1.0 else second_s, second_s)
        out: dict[str, float] = {}
        for name in self._turns.seen(second_s, passed, silent):
            beside = self._sheet.exits_beside[name]
            origins = self._origins(second_s, frozenset((name,)), unseen)
            if not origins and not self._turns.explained(second_s, beside):
                origins = self._origins(second_s, beside, unseen)
            for lane, chance in origins:
                out[lane] = out.get(lane, 0.0) + chance
        return out

    def _origins(
        self, second_s: float, exits: frozenset[str], unseen: Mapping[str, LaneEstimate]
    ) -> list[tuple[str, float]]:
        """Return the unseen lanes that somebody in one of these exits may have come from, each with its chance.

        The more come to a lane and want to go there, the likelier it is. That one lane is taken for the origin of all
        would be believed for ever: who is seen makes it the busiest.
        """
        ways = {
            (lane, way): unseen[lane].rate * unseen[lane].shares[way]
            for lane in sorted(unseen)
            for way in self._leading(unseen[lane], exits, second_s)
        }
        total = sum(ways.values())
        if total <= 0.0:
            return []
        self._turns.credit(*max(ways, key=lambda one: ways[one]))
        return [(lane, weight / total) for (lane, _), weight in ways.items()]

    def _leading(self, lane: LaneEstimate, exits: frozenset[str], second_s: float) -> list[str]:
        """Return the groups of a lane whose vehicles may be passing the loop of one of these exits."""
        found = []
        for way in lane.shares:
            since_s, until_s = self._going_s.get(way, (math.inf, -math.inf))
            timely = since_s <= second_s - CROSSING_MIN_S and second_s - until_s <= CROSSING_MAX_S
            if timely and not exits.isdisjoint(self._sheet.group[way].exits):
                found.append(way)
        return found
