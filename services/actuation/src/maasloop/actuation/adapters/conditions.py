"""Expressions of policies in CEL, compiled once a version.

Macros that loop are refused: nested, a short text can hold up every decision for hours.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, cast

import cel

from maasloop.actuation.domain.policy import Answer, Latest, Policy
from maasloop.actuation.domain.reading import Reading
from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.telemetry import metrics

EXPRESSION_LENGTH_MAX = 2_000
PROGRAMS_MAX = 1_024

_LOOKED_UP = re.compile(r"""latest\s*(?:\[\s*["']([a-z0-9-]+)["']\s*\]|\.\s*([A-Za-z_][A-Za-z0-9_]*))""")
_LOOPS = re.compile(r"\.\s*(all|exists|exists_one|existsOne|map|filter|transform\w*)\s*\(")
_VARIABLES = frozenset({"value", "state", "device", "property", "latest"})
_ASKED_FOR = re.compile(r"""["']([a-z0-9-]+)["']\s+in\s+latest""")

ERRORS = metrics.counter("maasloop_actuation_policy_errors_total", "Evaluations that failed", ["policy"])


class _Program(Protocol):
    def execute(self, context: dict[str, object]) -> object: ...

    def variables(self) -> list[str]: ...


class CelConditions:
    """Evaluates conditions; a failing evaluation says nothing about the reading, and says so."""

    def answer(self, policy: Policy, reading: Reading, latest: Latest) -> Answer:
        """Evaluate a policy's expressions on a reading."""
        context: dict[str, object] = {
            "value": reading.value,
            "state": reading.state,
            "device": reading.device,
            "property": reading.observed_property,
            "latest": dict(latest),
        }
        try:
            on = _evaluated(policy.on_condition, context)
            off = not on if not policy.off_condition else _evaluated(policy.off_condition, context)
        except (ValueError, RuntimeError, TypeError, KeyError, OverflowError) as error:
            ERRORS.labels(policy.id).inc()
            return Answer(error=f"{type(error).__name__}: {error}")
        return Answer(on=on, off=off)

    def properties(self, policy: Policy) -> Sequence[str]:
        """Return the observed properties that the expressions look up."""
        return _properties(policy.on_condition, policy.off_condition)

    def require_valid(self, policy: Policy) -> None:
        """Compile and try every expression on a number and on a word."""
        for expression in filter(None, (policy.on_condition, policy.off_condition)):
            _try(policy, expression)


def _evaluated(expression: str, context: dict[str, object]) -> bool:
    result = _program(expression).execute(context)
    if not isinstance(result, bool):
        message = f"a condition is true or false; got {type(result).__name__}"
        raise TypeError(message)
    return result


@lru_cache(maxsize=PROGRAMS_MAX)
def _program(expression: str) -> _Program:
    return cast("_Program", cel.compile(expression))


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


def _try(policy: Policy, expression: str) -> None:
    names = {*policy.observed_properties, *_properties(expression)}
    if len(expression) > EXPRESSION_LENGTH_MAX:
        raise _invalid(expression, f"it is longer than {EXPRESSION_LENGTH_MAX} characters")
    if _LOOPS.search(expression):
        raise _invalid(expression, "it loops over a list")
    try:
        program = _program(expression)
    except Exception as error:
        # The compiler is a foreign library that panics in ways of its own.
        raise _invalid(expression, str(error)) from None
    unknown = sorted(set(program.variables()) - _VARIABLES)
    if unknown:
        raise _invalid(expression, f"it asks for {', '.join(unknown)}; there are {', '.join(sorted(_VARIABLES))}")
    outcomes = []
    for value in (0.0, 1.0):
        context: dict[str, object] = {
            "value": value,
            "state": "",
            "device": "a-device",
            "property": policy.observed_properties[0] if policy.observed_properties else "",
            "latest": dict.fromkeys(names, value),
        }
        try:
            outcomes.append(program.execute(context))
        except Exception as error:
            raise _invalid(expression, f"it cannot be evaluated: {error}") from None
    if not all(isinstance(outcome, bool) for outcome in outcomes):
        raise _invalid(expression, "it must be true or false")


def _invalid(expression: str, why: str) -> InvalidArgument:
    message = f"the expression {expression[:200]!r} is not a condition: {why[:300]}"
    return InvalidArgument(Reason.POLICY_INVALID, message, {"expression": expression[:200]})
