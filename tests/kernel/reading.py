"""A slow and plain reading of what a junction showed, second by second, against its data sheet as it lies in the file.

It shares no code with the kernel. What is wrong is told as ``RULE: detail``, by the kernel's names of the rules.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from tests.kernel.street import Second

from maasloop.actuation.domain.signals.kernel import SequenceRequest

WALKING_MPS = 1.2
YELLOW_EXCESS_S = 3
REQUESTS_A_MINUTE = 40
RED, YELLOW, GREENS = "r", "y", "Gg"


class Reader:
    """Reads streets of one junction."""

    def __init__(self, sheet: dict[str, Any]) -> None:
        """Take a sheet as JSON data."""
        self._groups: dict[str, dict[str, Any]] = {group["id"]: group for group in sheet["groups"]}
        self._together = {frozenset(pair) for pair in sheet["compatible"]}
        self._yields = [tuple(pair) for pair in sheet["yields"]]
        self._intergreens = {(row[0], row[1]): row[2] for row in sheet["intergreens"]}
        walks = [self._walk_s(name) for name in self._groups]
        self._unknown_s = max([*self._intergreens.values(), *walks, *(one["all_red_s"] for one in sheet["groups"])])

    def breaches(
        self, seconds: Sequence[Second], orders: Sequence[tuple[int, SequenceRequest]] = (), *, since: int = 0
    ) -> list[str]:
        """Return what is wrong in a street from its second ``since`` on."""
        return [
            *self._pairs(seconds, since),
            *(line for name in self._groups for line in self._runs(name, seconds, since)),
            *self._rights(orders),
            *(line for at, request in orders for line in self._bounds(seconds, at, request)),
        ]

    def _walk_s(self, name: str) -> int:
        return math.ceil(float(self._groups[name].get("crossing_m", 0.0)) / WALKING_MPS - 1e-6)

    def _pairs(self, seconds: Sequence[Second], since: int) -> Iterator[str]:
        foes = [
            (a, b) for a in self._groups for b in self._groups if a != b and frozenset((a, b)) not in self._together
        ]
        for at in range(since, len(seconds)):
            shown = seconds[at].shown
            for one, other in foes:
                if shown[one] not in GREENS:
                    continue
                if shown[other] in GREENS:
                    yield f"CONFLICT: {at}: {one} and {other} are both green"
                elif shown[other] == YELLOW:
                    yield f"INTERGREEN: {at}: {one} is green while {other} is yellow"
                elif at and seconds[at - 1].shown[one] not in GREENS:
                    due_s = math.ceil(self._intergreens.get((other, one), self._unknown_s))
                    if any(before.shown[other] != RED for before in seconds[max(0, at - due_s) : at]):
                        yield f"INTERGREEN: {at}: {one} is green less than {due_s} s after {other}"
            for minor, major in self._yields:
                if shown[minor] != "G":
                    continue
                walk_s = self._walk_s(major)
                walked = walk_s and any(one.shown[major] in GREENS for one in seconds[max(0, at - walk_s) : at + 1])
                if shown[major] == "G" or walked:
                    yield f"BOTH_PROTECTED: {at}: {minor} is protected, and {major} has the right of way"

    def _runs(self, name: str, seconds: Sequence[Second], since: int) -> Iterator[str]:
        group = self._groups[name]
        after_green = YELLOW if group["yellow_s"] > 0 else RED
        shown = ["green" if second.shown[name] in GREENS else second.shown[name] for second in seconds]
        begun = 0
        for at, (was, now) in enumerate(pairwise(shown), start=1):
            if was == now:
                continue
            lasted_s, begun = at - begun, at
            if at < since:
                continue
            if (was, now) not in {("green", after_green), (YELLOW, RED), (RED, "green")}:
                yield f"TRANSITION: {at}: {name} goes from {was} to {now}"
            elif was == "green" and lasted_s < group["minimum_green_s"]:
                yield f"MINIMUM_GREEN: {at}: {name} was green for {lasted_s} s"
            elif was == YELLOW and not group["yellow_s"] <= lasted_s <= group["yellow_s"] + YELLOW_EXCESS_S:
                yield f"YELLOW_LENGTH: {at}: {name} was yellow for {lasted_s} s"
            elif was == RED and lasted_s < group["all_red_s"]:
                yield f"INTERGREEN: {at}: {name} is green {lasted_s} s after its own yellow"

    def _rights(self, orders: Sequence[tuple[int, SequenceRequest]]) -> Iterator[str]:
        for (at, before), (next_at, after) in pairwise(orders):
            if next_at < before.expires_s and after.issuer != before.issuer and after.authority <= before.authority:
                yield f"LEASE_HELD: {next_at}: {after.issuer} takes the junction from {before.issuer}"
            if after.not_before_s < before.not_before_s + before.steps[-1].offset_s:
                yield f"SEQUENCE_RUNNING: {next_at}: a sequence begins while one is played"
            if next_at == at:
                yield f"RATE_LIMITED: {at}: two requests in one second"
        for count, (at, _) in enumerate(orders):
            if count >= REQUESTS_A_MINUTE and orders[count - REQUESTS_A_MINUTE][0] > at - 60:
                yield f"RATE_LIMITED: {at}: more than {REQUESTS_A_MINUTE} requests in a minute"

    def _bounds(self, seconds: Sequence[Second], at: int, request: SequenceRequest) -> Iterator[str]:
        """Imagine that nobody asks again until the request expires, and that who waits now waits until green."""
        ahead = [one.shown for one in seconds[: at + 1]]
        steps = [(request.not_before_s + step.offset_s, step.aspects) for step in request.steps]
        for second in range(at + 1, math.ceil(request.expires_s)):
            begun = [aspects for begins_s, aspects in steps if begins_s <= second]
            ahead.append({name: str(shown) for name, shown in begun[-1].items()} if begun else ahead[-1])
        waiting = {name: self._waits_since(name, seconds, at) for name in seconds[at].waiting}
        yield from self._too_long_green(ahead, waiting, at, request)
        yield from self._too_long_red(ahead, waiting, at, request)

    @staticmethod
    def _waits_since(name: str, seconds: Sequence[Second], at: int) -> int:
        while at > 0 and name in seconds[at - 1].waiting:
            at -= 1
        return at

    def _too_long_green(
        self, ahead: Sequence[dict[str, str]], waiting: dict[str, int], at: int, request: SequenceRequest
    ) -> Iterator[str]:
        for name, group in self._groups.items():
            foes = {foe: since for foe, since in waiting.items() if frozenset((name, foe)) not in self._together}
            foes.pop(name, None)
            begun = at
            while begun > 0 and ahead[at][name] in GREENS and ahead[begun - 1][name] in GREENS:
                begun -= 1
            for second in range(at + 1, len(ahead)):
                shown = ahead[second]
                foes = {foe: since for foe, since in foes.items() if shown[foe] not in GREENS}
                if shown[name] not in GREENS or not foes:
                    continue
                if ahead[second - 1][name] not in GREENS:
                    begun = second
                unavoidable = second < max(request.not_before_s, begun + group["minimum_green_s"])
                if second >= max(begun, min(foes.values())) + group["maximum_green_s"] and not unavoidable:
                    yield f"MAXIMUM_GREEN: {at}: {name} could be green in {second}, and somebody waits"
                    break

    def _too_long_red(
        self, ahead: Sequence[dict[str, str]], waiting: dict[str, int], at: int, request: SequenceRequest
    ) -> Iterator[str]:
        due, served = {}, []
        for name, since in waiting.items():
            red = at
            while red > 0 and ahead[red - 1][name] == ahead[at][name]:
                red -= 1
            due_s = max(red, since) + self._groups[name]["maximum_wait_s"]
            if any(shown[name] in GREENS for shown in ahead[at + 1 :]):
                served.append(due_s)
            else:
                due[name] = due_s
        for name, due_s in due.items():
            if request.expires_s > due_s and not any(one <= min(due.values()) for one in served):
                yield f"MAXIMUM_WAIT: {at}: {name} is due in {due_s:g} and not served until {request.expires_s:g}"
