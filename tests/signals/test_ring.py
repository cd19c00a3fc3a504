"""The example with a ring of short roads between signals: nobody waits there for a green that waits for him."""

from pathlib import Path

import pytest
from tests.signals.__main__ import outcome_of
from tests.signals.plan import Run

# Processes one after the other, each of which loads SUMO, on a machine that may be busy.
pytestmark = pytest.mark.timeout(240)

RING = str(Path(__file__).parents[2] / "examples" / "ring" / "ring.sumocfg")
SECONDS = 600


def test_ten_minutes_in_the_ring_are_in_order() -> None:
    """Nobody stands for long, the reader finds nothing, and less is lost than under actuated control with our clearances."""
    ours, actuated = (outcome_of(Run(RING, name, 1, SECONDS)) for name in ("maasloop", "actuated-local"))

    assert (ours.violations, ours.gridlock) == (0, "")
    assert ours.mean_delay_s < actuated.mean_delay_s
