"""The lane of audit mutations in small: every change is found, and without the chain one kind is not."""

import pytest
from tests.security.lanes import audit
from tests.security.outcome import Plan, Result


@pytest.mark.integration
@pytest.mark.timeout(180)
async def test_every_change_of_a_log_is_found() -> None:
    """A log that PostgreSQL wrote and the keeper signed: no mutation of its export agrees with an old checkpoint."""
    outcome = await audit.run(Plan(seed=7, scale=0.014))

    assert outcome.result is Result.HELD, outcome.notes
    assert outcome.figures["audit_detected"] == outcome.figures["audit_mutations"] == 140


@pytest.mark.integration
@pytest.mark.timeout(180)
async def test_a_check_without_the_chain_is_caught() -> None:
    """The lane can fail: entries whose links are exchanged pass a check that does not follow the chain."""
    outcome = await audit.run(Plan(seed=7, scale=0.007, sabotage="no-chain-check"))

    assert outcome.result is Result.BROKEN
    assert any(note.startswith("missed: unlinked") for note in outcome.notes)
