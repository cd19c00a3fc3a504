"""No payload gets further than a batch or a reason; the long run is ``make fuzz``."""

import math
from pathlib import Path

import pytest
from tests.fuzz import run
from tests.fuzz.bombs import bombs
from tests.fuzz.mutators import SIZE_MAX
from tests.fuzz.run import Fuzzing, fuzz
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

MUTATIONS = 300


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_bombs_and_mutations_are_decoded_or_refused(target: Target) -> None:
    """Every bomb and some mutations of good payloads end as a batch or as a refusal with a reason."""
    fuzzing = Fuzzing(target)

    fuzzing.corpus()
    fuzzing.mutate(1, MUTATIONS, math.inf)

    assert fuzzing.report.faults == []
    assert all(len(payload) <= SIZE_MAX for _, payload in bombs(target))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_the_seeds_are_good(target: Target) -> None:
    """The payloads that everything begins with are decoded, so that mutations get far."""
    for seed in target.seeds:
        target.run(seed)


def test_a_decoder_that_breaks_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A decoder that forgets to refuse text that is no UTF-8 is caught, and its payload is kept."""
    monkeypatch.setattr(run, "FAULTS", tmp_path)
    careless = Target("careless", lambda payload: payload.decode("utf-8"), (b"lamp",))

    (report,) = fuzz([careless], seed=1, executions=500, seconds=5.0, guided=False)

    assert report.faults
    assert not report.good
    assert list(tmp_path.iterdir())
