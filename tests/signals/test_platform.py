"""What a bench shows of the library holds for the platform: both show the same, second by second."""

from itertools import pairwise
from pathlib import Path

import pytest
from tests.signals.__main__ import outcome_of
from tests.signals.plan import Run

from maasloop.twin.street.judge import read_states

SECONDS = 600


@pytest.mark.e2e
@pytest.mark.timeout(240)
def test_the_services_show_what_the_library_shows(tmp_path: Path) -> None:
    """The same network and seed: every signal state of every second is the same, and so is every delay."""
    shown, delays_s = [], []
    for way in ("library", "platform"):
        run = Run("cologne1", "maasloop", 1, SECONDS, "loops", platform=way == "platform")
        outcome = outcome_of(run, tmp_path / way)
        shown.append(list(read_states(tmp_path / way / run.name / "tls-states.xml")))
        delays_s.append(outcome.mean_delay_s)
        assert (outcome.violations, outcome.refused) == (0, {})

    differing = [pair for pair in zip(*shown, strict=True) if pair[0] != pair[1]]
    assert differing[:1] == []
    assert delays_s[0] == delays_s[1]
    assert len({state for _, _, state in shown[0]}) > 4
    assert len(shown[0]) == SECONDS
    assert sum(before[2] != after[2] for before, after in pairwise(shown[0])) > SECONDS / 20
