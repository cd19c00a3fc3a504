"""Random requests to the kernel: sound ones, sound ones that are bent a little, and anything at all."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from tests.kernel.street import Street

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.kernel import SequenceRequest, SequenceStep, expiry_latest_s
from maasloop.actuation.domain.signals.sequence import way_to

type Stages = Sequence[frozenset[str]]

ISSUERS = (("controller", Authority.ADAPTIVE), ("bus", Authority.PRIORITY), ("desk", Authority.OPERATOR))
ASKED = (Aspect.RED, Aspect.YELLOW, Aspect.GREEN, Aspect.YIELDING)


def drawn(random: Random, street: Street, stages: Stages) -> SequenceRequest:
    """Return a request at a street's present second."""
    kind = random.choices(("sound", "bent", "wild"), (5, 4, 1))[0]
    request = _sound(random, street, stages)
    if kind == "bent":
        steps = [*request.steps]
        for at in random.sample(range(len(steps)), min(len(steps), random.randint(1, 2))):
            steps[at] = _bent(random, street, steps[at], at)
        request = replace(request, steps=_rising(steps))
    elif kind == "wild":
        request = _wild(random, street, request)
    return request


def _sound(random: Random, street: Street, stages: Stages) -> SequenceRequest:
    """Return a request that leads to a stage, with an expiry that is usually allowed."""
    state = street.state
    not_before_s = state.second_s + random.randint(1, 3)
    if random.random() < 0.95:
        not_before_s = max(not_before_s, state.busy_until_s)
    steps = way_to(street.sheet, state, random.choice(stages), not_before_s)
    latest_s = expiry_latest_s(street.sheet, state, steps, not_before_s)
    expires_s = not_before_s + steps[-1].offset_s + random.randint(1, 60)
    if random.random() < 0.8:
        expires_s = random.choice((min(expires_s, latest_s), latest_s))
    issuer, authority = _issuer(random, street)
    return SequenceRequest(street.sheet.junction, steps, state.aspects(), not_before_s, expires_s, issuer, authority)


def _issuer(random: Random, street: Street) -> tuple[str, Authority]:
    """Return who asks: mostly who holds the junction."""
    lease = street.state.lease
    if lease is not None and lease.until_s > street.state.second_s and random.random() < 0.9:
        return lease.issuer, lease.authority
    return random.choices(ISSUERS, (8, 1, 1))[0]


def _bent(random: Random, street: Street, step: SequenceStep, at: int) -> SequenceStep:
    aspects = dict(step.aspects)
    for name in random.sample(sorted(aspects), min(len(aspects), random.randint(0, 2))):
        aspects[name] = random.choice(ASKED)
    return SequenceStep(0 if at == 0 else step.offset_s + random.randint(-2, 2), aspects)


def _rising(steps: Sequence[SequenceStep]) -> tuple[SequenceStep, ...]:
    found: list[SequenceStep] = []
    for step in steps:
        found.append(replace(step, offset_s=max(step.offset_s, found[-1].offset_s + 1)) if found else step)
    return tuple(found)


def _wild(random: Random, street: Street, request: SequenceRequest) -> SequenceRequest:
    """Return a request in which one thing is as no controller would ask."""
    state = street.state
    aspects = {name: random.choice(ASKED) for name in street.sheet.group}
    some = random.choice(sorted(aspects))
    dark = random.choice((Aspect.DARK, Aspect.FLASHING))
    less = {name: aspect for name, aspect in state.aspects().items() if name != some}
    return random.choice(
        (
            replace(request, junction="elsewhere"),
            replace(request, start_state=aspects),
            replace(request, start_state=less),
            replace(request, steps=(SequenceStep(0, {**request.steps[0].aspects, "nobody": Aspect.RED}),)),
            replace(request, steps=(SequenceStep(0, less),)),
            replace(request, steps=(SequenceStep(0, {**state.aspects(), some: dark}),)),
            replace(request, steps=(SequenceStep(0, aspects),)),
            replace(request, steps=tuple(reversed(request.steps)) if len(request.steps) > 1 else ()),
            replace(request, steps=(*request.steps, SequenceStep(90, state.aspects()))),
            replace(request, not_before_s=state.second_s - random.randint(0, 5)),
            replace(request, not_before_s=state.second_s + random.randint(11, 60)),
            replace(request, expires_s=request.not_before_s + random.choice((-1, 0, 500))),
        )
    )
