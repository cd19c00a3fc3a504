"""What the safety kernel for signals permits never breaks a rule, and the reading that says so can find fault."""

from random import Random

import pytest
from tests.kernel import exhaustive, sheets
from tests.kernel.chance import lot
from tests.kernel.reading import Reader
from tests.kernel.street import Street

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.signals.kernel import Permitted, SequenceRequest, judge
from maasloop.actuation.domain.signals.sequence import way_to
from maasloop.actuation.domain.signals.sheet_data import read_sheet
from maasloop.actuation.domain.signals.stages import stages_of

RULES = (
    "BOTH_PROTECTED", "CONFLICT", "INTERGREEN", "LEASE_HELD", "MAXIMUM_GREEN", "MAXIMUM_WAIT", "MINIMUM_GREEN", "RATE_LIMITED",
    "SEQUENCE_RUNNING", "TRANSITION", "YELLOW_LENGTH",
)  # fmt: skip


def test_what_is_permitted_breaks_no_rule() -> None:
    """However requests are drawn, the seconds that the kernel lets through are in order: real junctions and made-up ones."""
    found = lot(1, 3_000, networks=sheets.of_networks())

    assert found.breaches == []
    assert found.permitted > 1_000


@pytest.mark.parametrize("rule", RULES)
def test_a_kernel_without_a_rule_is_caught(rule: str) -> None:
    """Each rule that is left out is told by its name."""
    found = lot(1, 2_000, networks=[], sabotage=rule)

    assert any(f": {rule}: " in line for line in found.breaches)


def test_of_a_small_junction_exactly_what_is_in_order_is_permitted() -> None:
    """Every request of one or two steps, in every state: nothing more is permitted, and nothing less."""
    found = exhaustive.explore(
        exhaustive.two_groups(conflict=True), exhaustive.PLAIN, (*exhaustive.ONE_STEP, *exhaustive.TWO_STEPS[1:3])
    )

    assert found.differences == 0, found.first
    assert found.permitted > 500


@pytest.mark.parametrize("rule", ["CONFLICT", "INTERGREEN", "MINIMUM_GREEN", "TRANSITION"])
def test_a_small_junction_tells_of_a_rule_left_out(rule: str) -> None:
    """What is permitted then differs from what is in order."""
    data = exhaustive.two_groups(conflict=True)

    assert exhaustive.explore(data, exhaustive.PLAIN, exhaustive.TWO_STEPS[1:2], broken=rule).differences > 0


@pytest.mark.parametrize("seed", range(30))
def test_the_way_to_a_stage_is_permitted(seed: int) -> None:
    """What the builder of sequences makes passes the kernel, and leads there."""
    random = Random(seed)
    data = sheets.made_up(random)
    street = Street(read_sheet(data))
    for _ in range(4):
        stage = random.choice(stages_of(street.sheet))
        begins_s = street.state.second_s + 1
        steps = way_to(street.sheet, street.state, stage, begins_s)
        expires_s = begins_s + steps[-1].offset_s + 20
        asked = SequenceRequest(
            "made-up", steps, street.state.aspects(), begins_s, expires_s, "test", Authority.ADAPTIVE
        )
        verdict = judge(street.sheet, street.state, asked)
        assert isinstance(verdict, Permitted), verdict
        street.obey(verdict)
        while street.state.second_s < asked.ends_s + random.randint(0, 8):
            street.tick()
        assert {name for name, group in street.state.groups.items() if group.green} == stage
    assert Reader(data).breaches(street.seconds, street.orders) == []
