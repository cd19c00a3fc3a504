"""Expressions of policies: what is taken and what is refused when a policy is written."""

import pytest

from maasloop.actuation.adapters.conditions import CelConditions
from maasloop.actuation.domain.policy import Policy
from maasloop.core.errors import InvalidArgument
from maasloop.runtime.conditions import EXPRESSION_LENGTH_MAX

LISTS = "[1, 2, 3, 4, 5, 6, 7, 8]"


def _policy(expression: str) -> Policy:
    return Policy(
        id="evening",
        display_name="Evening",
        district="noord",
        observed_properties=("presence",),
        on_condition=expression,
        on_level_percent=80.0,
        off_level_percent=20.0,
    )


@pytest.mark.parametrize(
    "expression",
    [
        'value > 0.5 && latest["illuminance"] < 20.0',
        '"illuminance" in latest && latest.illuminance < 20.0',
        'has(latest.illuminance) && state == "" && device.startsWith("lamp-") && property == "presence"',
    ],
)
def test_conditions_over_readings_are_taken(expression: str) -> None:
    """What the contract offers compiles and evaluates."""
    CelConditions().require_valid(_policy(expression))


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("value >", "not a condition"),
        ("value + 1.0", "true or false"),
        ("value > 5.0 && brightness > 1.0", "asks for brightness"),
        ("value > 5.0 || type(value) == type(state)", "calls type"),
        (f"value < 9.0 || {LISTS}.all(a, {LISTS}.exists(b, a + b > 0))", "loops"),
        ("value > 1.0 || " * 200 + "false", f"longer than {EXPRESSION_LENGTH_MAX}"),
    ],
)
def test_what_cannot_be_judged_at_once_is_refused(expression: str, why: str) -> None:
    """Also where the samples would not reach it: a condition that loops could hold up every decision."""
    with pytest.raises(InvalidArgument, match=why) as refused:
        CelConditions().require_valid(_policy(expression))
    assert refused.value.reason == "POLICY_INVALID"
