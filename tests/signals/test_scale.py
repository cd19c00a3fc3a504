"""The bench of scale decides as the recorded run did, and notices where it does not."""

import pytest
from tests.signals.scale import Recording, measure, recordings

from maasloop.actuation.domain.signals.traffic.neighbourhood import NOTHING_HEARD

pytestmark = pytest.mark.timeout(120)
"""A process that loads SUMO, on a machine that may be busy."""


@pytest.fixture(name="originals", scope="module")
def _originals() -> list[Recording]:
    return recordings("cologne1", "loops", 60)


def test_clones_show_what_their_original_showed(originals: list[Recording]) -> None:
    """Each clone hears its original and, deciding by itself, leads its street through the same states."""
    figures = measure(originals, 3)

    assert figures["states_differing"] == 0
    assert (figures["junctions"], figures["street_seconds"]) == (3, 50)
    assert 0 < figures["decision_ms_p50"] <= figures["decision_ms_p99"] <= figures["decision_ms_max"]


def test_a_replay_that_went_astray_is_noticed(originals: list[Recording]) -> None:
    """Detectors that say nothing lead elsewhere, and the figures tell that they belong to another run."""
    deaf = [
        Recording(one.junction, [(second, {}, None, NOTHING_HEARD, shown) for second, _, _, _, shown in one.seconds])
        for one in originals
    ]

    assert measure(deaf, 1)["states_differing"] > 0
