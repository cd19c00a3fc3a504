"""Conditions of policies over readings, in CEL (``maasloop.runtime.conditions``)."""

import re
from collections.abc import Sequence
from functools import lru_cache

from maasloop.actuation.domain.policy import Answer, Latest, Policy
from maasloop.actuation.domain.reading import Reading
from maasloop.runtime.conditions import EVALUATION_ERRORS, PROGRAMS_MAX, program, require_conditions
from maasloop.telemetry import metrics

_LOOKED_UP = re.compile(r"""latest\s*(?:\[\s*["']([a-z0-9-]+)["']\s*\]|\.\s*([A-Za-z_][A-Za-z0-9_]*))""")
_ASKED_FOR = re.compile(r"""["']([a-z0-9-]+)["']\s+in\s+latest""")
_SAMPLES = (0.0, 1.0)

ERRORS = metrics.counter("maasloop_actuation_policy_errors_total", "Evaluations that failed", ["policy"])


class CelConditions:
    """Evaluates conditions; a failing evaluation says nothing about the reading, and says so."""

    def answer(self, policy: Policy, reading: Reading, latest: Latest) -> Answer:
        """Evaluate a policy's expressions on a reading."""
        context = _context(reading, latest)
        try:
            on = _evaluated(policy.on_condition, context)
            off = not on if not policy.off_condition else _evaluated(policy.off_condition, context)
        except EVALUATION_ERRORS as error:
            ERRORS.labels(policy.id).inc()
            return Answer(error=f"{type(error).__name__}: {error}")
        return Answer(on=on, off=off)

    def properties(self, policy: Policy) -> Sequence[str]:
        """Return the observed properties that the expressions look up."""
        return _properties(policy.on_condition, policy.off_condition)

    def require_valid(self, policy: Policy) -> None:
        """Refuse a policy (POLICY_INVALID) whose expressions are no conditions."""
        observed = next(iter(policy.observed_properties), "")
        known = {*policy.observed_properties, *self.properties(policy)}
        samples = [_context(Reading("a-device", observed, 0, value), dict.fromkeys(known, value)) for value in _SAMPLES]
        require_conditions((policy.on_condition, policy.off_condition), samples)


def _context(reading: Reading, latest: Latest) -> dict[str, object]:
    return {
        "value": reading.value,
        "state": reading.state,
        "device": reading.device,
        "property": reading.observed_property,
        "latest": dict(latest),
    }


def _evaluated(expression: str, context: dict[str, object]) -> bool:
    result = program(expression).execute(context)
    if not isinstance(result, bool):
        message = f"a condition is true or false; got {type(result).__name__}"
        raise TypeError(message)
    return result


@lru_cache(maxsize=PROGRAMS_MAX)
def _properties(*expressions: str) -> tuple[str, ...]:
    found = {
        name
        for expression in expressions
        for groups in (*_LOOKED_UP.findall(expression), *((one,) for one in _ASKED_FOR.findall(expression)))
        for name in groups
        if name
    }
    return tuple(sorted(found))
