"""The page on sizing has the figures of the costs, and a cost is told in milliseconds a reading."""

import pytest
from tests.load import cost

from maasloop.stack.capacity import Costs


def test_the_table_of_the_page_is_that_of_the_costs() -> None:
    """Costs that changed need `python -m tests.load.cost --table-only`."""
    page = cost.PAGE.read_text(encoding="utf-8")
    assert cost.filled(page, Costs.read()) == page


def test_a_page_without_a_place_for_the_table_is_refused() -> None:
    """Nothing is written where nobody would look for it."""
    with pytest.raises(ValueError, match="no place"):
        cost.filled("# Size\n", Costs.read())


def test_the_time_of_a_junction_is_its_share_of_a_core() -> None:
    """A thousand junctions on half a core are half a millisecond each."""
    assert cost.junction_second_ms({"core_share_mean": 0.5, "junctions": 1_000}) == 0.5
