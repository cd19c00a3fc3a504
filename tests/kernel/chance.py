"""Requests by chance, in street after street, and what came of them."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from tests.kernel import asking, sheets
from tests.kernel.reading import Reader
from tests.kernel.street import Street

from maasloop.actuation.domain.signals.kernel import Permitted, judge
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.stages import stages_of

REQUESTS_A_STREET = 30
MADE_UP = 0.3
"""Share of the streets that have a sheet made up by chance."""


@dataclass
class Found:
    """What came of requests."""

    asked: int = 0
    permitted: int = 0
    streets: int = 0
    seconds: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    breaches: list[str] = field(default_factory=list)

    def add(self, other: "Found") -> None:
        """Add what came of others."""
        self.asked += other.asked
        self.permitted += other.permitted
        self.streets += other.streets
        self.seconds += other.seconds
        self.refused += other.refused
        self.breaches += other.breaches


def lot(seed: int, requests: int, *, networks: list[sheets.Sheet], sabotage: str = "") -> Found:
    """Ask so many times, in street after street."""
    random = Random(seed)
    found = Found()
    while found.asked < requests:
        data = sheets.made_up(random) if not networks or random.random() < MADE_UP else random.choice(networks)
        street = Street(read_sheet(data))
        _ask(random, street, found, sabotage)
        told = Reader(data).breaches(street.seconds, street.orders)
        found.breaches += [f"seed {seed}, {data['junction']}: {line}" for line in told]
        found.streets += 1
        found.seconds += len(street.seconds)
    return found


def _ask(random: Random, street: Street, found: Found, sabotage: str) -> None:
    stages = stages_of(street.sheet)
    for _ in range(REQUESTS_A_STREET):
        if street.over:
            return
        request = asking.drawn(random, street, stages)
        verdict = judge(street.sheet, street.state, request)
        found.asked += 1
        if not isinstance(verdict, Permitted):
            found.refused[verdict.reason] += 1
        if isinstance(verdict, Permitted) or verdict.reason == sabotage:
            found.permitted += 1
            street.obey(Permitted(request))
        for _ in range(random.choice((0, 1, 1, 2, 5, 15))):
            if random.random() < 0.2:
                street.call(random.sample(sorted(street.sheet.group), 1))
            if street.over:
                return
            street.tick()
