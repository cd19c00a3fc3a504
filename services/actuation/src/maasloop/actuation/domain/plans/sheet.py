"""What a signal controller can be asked for, by its data sheet: section ``controls`` of its device's configuration.

::

    controls:
      plans:
        - {id: 1, bands: [[1, 15], [2, 10]], cycle_time_s: [60, 120]}
        - {id: 2}
      situations: [1]
      routes: [1]
      inputs: [5, 6]        # those that a programme may set; others are for operators
      adjustment_interval_s: 30
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

NUMBER_MAX = 255
ADJUSTMENT_INTERVAL_S = 30.0
"""Between two adjustments of a plan, where the sheet says nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan of a controller."""

    bands: Mapping[int, int] = field(default_factory=dict)
    """Band to its longest extension in seconds."""
    cycle_time_s: tuple[int, int] | None = None
    """Shortest and longest; None: it may not be changed."""


@dataclass(frozen=True, slots=True)
class Controls:
    """One controller."""

    plans: Mapping[int, Plan]
    situations: frozenset[int] = frozenset()
    routes: frozenset[int] = frozenset()
    inputs: frozenset[int] = frozenset()
    """Inputs that a programme may set."""
    adjustment_interval_s: float = ADJUSTMENT_INTERVAL_S


def read_controls(data: Mapping[str, Any]) -> Controls:
    """Read a section, or refuse, as ``InvalidArgument``, one that is malformed."""
    try:
        return Controls(
            plans={_number(each["id"]): _plan(each) for each in data["plans"]},
            situations=_numbers(data.get("situations", ())),
            routes=_numbers(data.get("routes", ())),
            inputs=_numbers(data.get("inputs", ())),
            adjustment_interval_s=float(data.get("adjustment_interval_s", ADJUSTMENT_INTERVAL_S)),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        message = f"the section controls is malformed: {type(error).__name__}: {error}"
        raise InvalidArgument(Reason.DATA_SHEET_INVALID, message) from error


def _plan(data: Mapping[str, Any]) -> Plan:
    cycle = data.get("cycle_time_s")
    shortest, longest = (_number(cycle[0]), _number(cycle[1])) if cycle else (0, 0)
    if shortest > longest:
        message = f"cycle_time_s {shortest} to {longest}"
        raise ValueError(message)
    bands = {_number(row[0]): int(row[1]) for row in data.get("bands", ())}
    return Plan(bands, (shortest, longest) if cycle else None)


def _numbers(values: Sequence[Any]) -> frozenset[int]:
    return frozenset(map(_number, values))


def _number(value: Any) -> int:  # noqa: ANN401 - a number of JSON, which may be a fraction
    number = int(value)
    if number != value or not 1 <= number <= NUMBER_MAX:
        message = f"{value!r} is no number from 1 to {NUMBER_MAX}"
        raise ValueError(message)
    return number
