"""Expressions of rules: what is refused on write, and that columns are judged as single values are."""

from operator import itemgetter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maasloop.core.errors import InvalidArgument
from maasloop.notification.adapters.conditions import CelConditions, _column
from maasloop.notification.domain.rule import AlertRule, CommandWatch, ObservationWatch, Watch

TEXTS = {"nl": "x", "en": "x"}
CONDITIONS = CelConditions()


def _rule(watch: Watch) -> AlertRule:
    return AlertRule("r", "noord", "air", watch, TEXTS, TEXTS)


@pytest.mark.parametrize(
    "expression",
    [
        "value > 75.0",
        "value > 75",
        "value >= 1.0 && value < 2.0",
        'state == "rrGG"',
        'state.matches("^r+$")',
        'device.startsWith("station-") && value > 1.0',
        "value > double(5)",
        "!(value > 3.0)",
    ],
)
def test_conditions_over_readings_are_accepted(expression: str) -> None:
    """Value, state and device may be asked for, in any CEL that does not loop."""
    CONDITIONS.require_valid(_rule(ObservationWatch("pm25", expression, expression)))


@pytest.mark.parametrize(
    "expression",
    [
        "value >",
        "value",
        "value + 1.0",
        "value > 'a'",
        "speed > 1.0",
        "value > 100.0 && speed > 1.0",
        "value > 100.0 && unknown(value)",
        "[1, 2].exists(value, value > 1)",
        "[1.0, 2.0] . all(value, true)",
        "issuer == 'a'",
        "(" * 900 + "true" + ")" * 900,
        "true" + " || true" * 400,
    ],
)
def test_other_expressions_are_refused(expression: str) -> None:
    """What does not compile, is no condition, asks for something unknown or loops is POLICY_INVALID."""
    for watch in (ObservationWatch("pm25", expression), ObservationWatch("pm25", "value > 1.0", expression)):
        with pytest.raises(InvalidArgument) as refused:
            CONDITIONS.require_valid(_rule(watch))
        assert refused.value.reason == "POLICY_INVALID"


def test_conditions_over_commands_have_their_own_variables() -> None:
    """State, reason, device and issuer may be asked for, a value may not."""
    CONDITIONS.require_valid(_rule(CommandWatch('state == "FAILED" && reason != "DEVICE_SILENT" && issuer != device')))
    with pytest.raises(InvalidArgument):
        CONDITIONS.require_valid(_rule(CommandWatch("value > 1.0")))


EXPRESSIONS = st.sampled_from(
    [
        "value > 2",
        "value >= 2.0",
        "value == 2",
        "value != -1.5",
        "value < 0 || value > 2.5",
        "value > -1.0 && value <= 2.0",
        "value > 1.0 && (value < 2.0 || value > 3.0)",
        'value > 1.0 && device == "b"',
        'value > 1.0 || device != "b"',
        "1.0 / value > 0.5",
    ]
)
ROWS = st.lists(
    st.tuples(st.sampled_from([-1.5, -1.0, 0.0, 1.0, 2.0, 2.5, 3.0]) | st.floats(-5, 5), st.integers(0, 2)), max_size=30
)


@given(EXPRESSIONS, ROWS)
@example("1.0 / value > 0.5", [(0.0, 0), (-0.0, 0)])
@example('1.0 / value > 0.5 && device != "b"', [(0.0, 0), (-0.0, 0)])
def test_a_column_is_judged_as_its_rows_are(expression: str, rows: list[tuple[float, int]]) -> None:
    """The answers for a column are those that CEL gives for each row by itself."""
    devices = ("a", "b", "c")
    held = CONDITIONS.hold(
        expression,
        np.array(list(map(itemgetter(0), rows)), np.float64),
        np.array(list(map(itemgetter(1), rows)), np.uint32),
        devices,
    )
    one_by_one = [
        CONDITIONS.holds(expression, {"value": value, "state": "", "device": devices[index]}) for value, index in rows
    ]
    assert held.tolist() == one_by_one


def test_plain_comparisons_need_no_interpreter() -> None:
    """Thresholds and ranges, which most rules are, are recognised as such; anything else is not taken for one."""
    assert _column("value > 75.0") is not None
    assert _column(" value>=-1 && value<2.5 ") is not None
    for other in ("value > 1.0 && value < 2.0 || value > 3.0", "value > 1e3", "!(value > 1.0)", "value > value"):
        assert _column(other) is None


def test_a_failing_evaluation_is_false() -> None:
    """A word that is no number raises no alert."""
    assert not CONDITIONS.holds("double(state) > 1.0", {"value": 0.0, "state": "off", "device": "a"})
