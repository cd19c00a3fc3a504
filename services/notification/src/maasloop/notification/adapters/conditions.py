"""Conditions of rules, in CEL (``maasloop.runtime.conditions``).

Comparisons of ``value`` with numbers, which most rules are, are judged for a whole column at once. Any other expression
is evaluated once for each distinct value, or for each distinct value and device where it asks for the device.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from maasloop.notification.domain.rule import AlertRule, CommandWatch, ObservationWatch
from maasloop.runtime.conditions import EVALUATION_ERRORS, PROGRAMS_MAX, program, require_conditions
from maasloop.telemetry import metrics

ERRORS = metrics.counter("maasloop_notification_condition_errors_total", "Evaluations that failed", ["error"])

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
_READINGS = [{"value": value, "state": "0", "device": "a-device"} for value in (0.0, 1.0)]
_COMMANDS = [dict.fromkeys(("state", "reason", "device", "issuer"), "0")]


class _Column(NamedTuple):
    """A condition over numbers alone: comparisons joined by one and the same operator."""

    together: bool
    comparisons: Sequence[tuple[str, float]]


class CelConditions:
    """Evaluates expressions of rules; a failing evaluation counts as false and is counted."""

    def require_valid(self, rule: AlertRule) -> None:
        """Refuse a rule (POLICY_INVALID) whose expressions are no conditions."""
        watch = rule.watch
        if isinstance(watch, ObservationWatch):
            require_conditions((watch.raise_condition, watch.resolve_condition), _READINGS)
        elif isinstance(watch, CommandWatch):
            require_conditions((watch.raise_condition, watch.resolve_condition), _COMMANDS)

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
        # By their bits: 0.0 and -0.0 are equal, and yet what divides by them gives different answers.
        bits = np.ascontiguousarray(value).view(np.uint64)
        if "device" in program(expression).variables():
            keys, inverse = np.unique(
                np.stack([device_index.astype(np.uint64), bits], axis=1), axis=0, return_inverse=True
            )
            distinct = zip(keys[:, 0].tolist(), keys[:, 1].copy().view(np.float64).tolist(), strict=True)
            answers = [self.holds(expression, _number(one, devices[index])) for index, one in distinct]
        else:
            values, inverse = np.unique(bits, return_inverse=True)
            answers = [self.holds(expression, _number(one, "")) for one in values.view(np.float64).tolist()]
        return np.array(answers, np.bool_)[inverse.reshape(-1)]

    def holds(self, expression: str, variables: Mapping[str, object]) -> bool:
        """Tell whether the condition holds for one state or one command."""
        try:
            return program(expression).execute(variables) is True
        except EVALUATION_ERRORS as error:
            ERRORS.labels(type(error).__name__).inc()
            return False


def _number(value: float, device: str) -> Mapping[str, object]:
    return {"value": value, "state": "", "device": device}


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
