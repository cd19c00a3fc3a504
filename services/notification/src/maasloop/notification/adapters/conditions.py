"""Expressions of rules in CEL, compiled once.

Comparisons of ``value`` with numbers, which most rules are, are judged for a whole column at once. Any other expression
is evaluated once for each distinct value, or for each distinct value and device where it asks for the device. Macros that
loop are refused, so that an evaluation is as short as its text.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol, cast

import cel
import numpy as np
from numpy.typing import NDArray

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.notification.domain.rule import AlertRule, CommandWatch, ObservationWatch
from maasloop.telemetry import metrics

EXPRESSION_LENGTH_MAX = 2_000
PROGRAMS_MAX = 4_096

READING_VARIABLES = frozenset({"value", "state", "device"})
COMMAND_VARIABLES = frozenset({"state", "reason", "device", "issuer"})
FUNCTIONS = frozenset(
    {"size", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "string", "bool", "min", "max"}
)
"""Functions that a condition may call, beside operators."""

ERRORS = metrics.counter("maasloop_notification_condition_errors_total", "Evaluations that failed", ["error"])

_LOOPS = re.compile(r"\.\s*(all|exists|exists_one|existsOne|map|filter|transform\w*)\s*\(")
_NUMBER = r"-?\d+(?:\.\d+)?"
_COMPARISON = re.compile(rf"\s*value\s*(?P<operator>>=|<=|>|<|==|!=)\s*(?P<number>{_NUMBER})\s*")
_OPERATORS: Mapping[str, Callable[[NDArray[np.float64], float], NDArray[np.bool_]]] = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
    "==": np.equal,
    "!=": np.not_equal,
}
_SAMPLES = (0.0, 1.0)
_WORD = "0"


class _Program(Protocol):
    def execute(self, context: Mapping[str, object]) -> object: ...

    def variables(self) -> list[str]: ...

    def functions(self) -> list[str]: ...


class _Column(NamedTuple):
    """A condition over numbers alone: comparisons joined by one and the same operator."""

    together: bool
    comparisons: Sequence[tuple[str, float]]


class CelConditions:
    """Evaluates expressions of rules; a failing evaluation counts as false and is counted."""

    def require_valid(self, rule: AlertRule) -> None:
        """Refuse a rule (POLICY_INVALID) whose expressions do not compile to a condition over its variables."""
        watch = rule.watch
        if isinstance(watch, ObservationWatch):
            samples = [{"value": value, "state": _WORD, "device": "a-device"} for value in _SAMPLES]
            _require((watch.raise_condition, watch.resolve_condition), READING_VARIABLES, samples)
        elif isinstance(watch, CommandWatch):
            words = dict.fromkeys(COMMAND_VARIABLES, _WORD)
            _require((watch.raise_condition, watch.resolve_condition), COMMAND_VARIABLES, [words])

    def hold(
        self, expression: str, value: NDArray[np.float64], device_index: NDArray[np.uint32], devices: Sequence[str]
    ) -> NDArray[np.bool_]:
        """Tell for every reading whether the condition holds."""
        column = _column(expression)
        if column is not None:
            join = np.logical_and if column.together else np.logical_or
            return cast(
                "NDArray[np.bool_]",
                join.reduce([_OPERATORS[operator](value, number) for operator, number in column.comparisons]),
            )
        program = _program(expression)
        if "device" in program.variables():
            keys = np.stack([device_index.astype(np.float64), value], axis=1)
            unique, inverse = np.unique(keys, axis=0, return_inverse=True)
            answers = [self.holds(expression, _number(one, devices[int(index)])) for index, one in unique.tolist()]
        else:
            values, inverse = np.unique(value, return_inverse=True)
            answers = [self.holds(expression, _number(one, "")) for one in values.tolist()]
        return np.array(answers, np.bool_)[inverse.reshape(-1)]

    def holds(self, expression: str, variables: Mapping[str, object]) -> bool:
        """Tell whether the condition holds for one state or one command."""
        try:
            return _program(expression).execute(variables) is True
        except (ValueError, RuntimeError, TypeError, KeyError, OverflowError) as error:
            ERRORS.labels(type(error).__name__).inc()
            return False


def _number(value: float, device: str) -> Mapping[str, object]:
    return {"value": value, "state": "", "device": device}


@lru_cache(maxsize=PROGRAMS_MAX)
def _program(expression: str) -> _Program:
    return cast("_Program", cel.compile(expression))


@lru_cache(maxsize=PROGRAMS_MAX)
def _column(expression: str) -> _Column | None:
    """Return the comparisons that an expression consists of, or nothing where it is made of more."""
    together = "&&" in expression
    parts = expression.split("&&" if together else "||")
    matches = [_COMPARISON.fullmatch(part) for part in parts]
    found = [(match["operator"], float(match["number"])) for match in matches if match is not None]
    if len(found) != len(parts) or not all(math.isfinite(number) for _, number in found):
        return None
    return _Column(together, found)


def _require(expressions: Iterable[str], variables: frozenset[str], samples: Sequence[Mapping[str, object]]) -> None:
    for expression in filter(None, expressions):
        if len(expression) > EXPRESSION_LENGTH_MAX:
            raise _invalid(expression, f"it is longer than {EXPRESSION_LENGTH_MAX} characters")
        if _LOOPS.search(expression):
            raise _invalid(expression, "it loops over a list")
        try:
            program = _program(expression)
        except Exception as error:
            # The compiler is a foreign library with errors of its own.
            raise _invalid(expression, str(error)) from None
        _require_known(expression, program, variables)
        _require_condition(expression, program, samples)


def _require_known(expression: str, program: _Program, variables: frozenset[str]) -> None:
    unknown = sorted(set(program.variables()) - variables)
    if unknown:
        raise _invalid(expression, f"it asks for {', '.join(unknown)}; there are {', '.join(sorted(variables))}")
    strange = sorted(
        name
        for name in program.functions()
        if name.isidentifier() and not name.startswith("_") and name not in FUNCTIONS
    )
    if strange:
        raise _invalid(expression, f"it calls {', '.join(strange)}; there are {', '.join(sorted(FUNCTIONS))}")


def _require_condition(expression: str, program: _Program, samples: Sequence[Mapping[str, object]]) -> None:
    for sample in samples:
        try:
            outcome = program.execute(sample)
        except Exception as error:
            raise _invalid(expression, f"it cannot be evaluated: {error}") from None
        if not isinstance(outcome, bool):
            raise _invalid(expression, "it must be true or false")


def _invalid(expression: str, why: str) -> InvalidArgument:
    message = f"the expression {expression[:200]!r} is not a condition: {why[:300]}"
    return InvalidArgument(Reason.POLICY_INVALID, message, {"expression": expression[:200]})
