"""Conditions that people write, in CEL (Common Expression Language): compiled once, and judged before they are taken.

What is refused: macros that loop, because nested, a short text can hold a process up for hours; variables and functions
that are not offered; what is not true or false. So an evaluation is as short as its text.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Protocol, cast

import cel

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

EXPRESSION_LENGTH_MAX = 2_000
"""Characters of an expression."""
PROGRAMS_MAX = 4_096
"""Compiled expressions that a process keeps."""

FUNCTIONS = frozenset(
    {"size", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "string", "bool", "min", "max"}
)
"""Functions that a condition may call, beside operators."""

EVALUATION_ERRORS = (ValueError, RuntimeError, TypeError, KeyError, OverflowError)
"""What an evaluation raises that fails: a missing key, numbers and words compared, a number too large."""

_LOOPS = re.compile(r"\.\s*(all|exists|exists_one|existsOne|map|filter|transform\w*)\s*\(")


class Program(Protocol):
    """A compiled expression."""

    def execute(self, context: Mapping[str, object]) -> object:
        """Evaluate it over variables, or raise one of ``EVALUATION_ERRORS``."""
        ...

    def variables(self) -> list[str]:
        """Return the names that it asks for."""
        ...

    def functions(self) -> list[str]:
        """Return the functions that it calls, operators among them."""
        ...


@lru_cache(maxsize=PROGRAMS_MAX)
def program(expression: str) -> Program:
    """Return an expression compiled."""
    return cast("Program", cel.compile(expression))


def require_conditions(expressions: Iterable[str], samples: Sequence[Mapping[str, object]]) -> None:
    """Refuse (POLICY_INVALID) expressions that are no conditions over the variables of the samples; empty ones are none.

    Each is evaluated on every sample; all samples have the same variables.
    """
    for expression in filter(None, expressions):
        if len(expression) > EXPRESSION_LENGTH_MAX:
            raise _invalid(expression, f"it is longer than {EXPRESSION_LENGTH_MAX} characters")
        if _LOOPS.search(expression):
            raise _invalid(expression, "it loops over a list")
        try:
            compiled = program(expression)
        except Exception as error:
            # The compiler is a foreign library that panics in ways of its own.
            raise _invalid(expression, str(error)) from None
        _require_known(expression, compiled, samples[0].keys())
        _require_truth(expression, compiled, samples)


def _require_known(expression: str, compiled: Program, variables: Iterable[str]) -> None:
    unknown = sorted(set(compiled.variables()).difference(variables))
    if unknown:
        raise _invalid(expression, f"it asks for {', '.join(unknown)}; there are {', '.join(sorted(variables))}")
    strange = sorted(
        name
        for name in compiled.functions()
        if name.isidentifier() and not name.startswith("_") and name not in FUNCTIONS
    )
    if strange:
        raise _invalid(expression, f"it calls {', '.join(strange)}; there are {', '.join(sorted(FUNCTIONS))}")


def _require_truth(expression: str, compiled: Program, samples: Sequence[Mapping[str, object]]) -> None:
    for sample in samples:
        try:
            outcome = compiled.execute(sample)
        except Exception as error:
            raise _invalid(expression, f"it cannot be evaluated: {error}") from None
        if not isinstance(outcome, bool):
            raise _invalid(expression, "it must be true or false")


def _invalid(expression: str, why: str) -> InvalidArgument:
    message = f"the expression {expression[:200]!r} is not a condition: {why[:300]}"
    return InvalidArgument(Reason.POLICY_INVALID, message, {"expression": expression[:200]})
