"""The field refuses what it must, and the lane that says so notices when it does not."""

from tests.security.lanes import commands
from tests.security.outcome import Plan, Result


async def test_no_command_that_nobody_may_give_reaches_a_lamp() -> None:
    """A hundredth of the full run: every kind is tried, none is accepted, and genuine commands come through."""
    outcome = await commands.run(Plan(7, 0.01))
    assert outcome.result is Result.HELD, outcome.notes
    assert outcome.figures["forged_tried"] == 1_200
    assert outcome.figures["forged_accepted"] == 0


async def test_without_counter_and_nonce_replays_come_through_and_are_seen() -> None:
    """The fault that the lane is there to find is found."""
    outcome = await commands.run(Plan(7, 0.01, commands.NO_NONCE_CHECK))
    assert outcome.result is Result.BROKEN
    assert any("replayed" in note for note in outcome.notes)
