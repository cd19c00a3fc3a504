"""Refusals are counted by holder, within bounds."""

from datetime import UTC, datetime

from maasloop.device_registry.domain.admission import Refusal
from maasloop.device_registry.domain.refusals import HOLDERS_MAX, RefusalTally

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_holder_is_counted_with_the_last_reason() -> None:
    """What was taken is counted no more, and comes back where it could not be written."""
    tally = RefusalTally()
    for reason in (Refusal.PROOF_WRONG, Refusal.UNTRUSTED):
        assert tally.note("noord/lamp", reason, NOW)
    (taken,) = tally.taken()
    assert (taken.count, taken.last_reason) == (2, Refusal.UNTRUSTED)
    assert tally.taken() == []

    tally.put_back([taken])
    tally.note("noord/lamp", Refusal.PROOF_WRONG, NOW)
    (again,) = tally.taken()
    assert (again.count, again.last_reason) == (3, Refusal.PROOF_WRONG)


def test_strangers_fill_no_memory() -> None:
    """What is no name is not counted here, and beyond the bound only those that are known are."""
    tally = RefusalTally()
    assert not tally.note("no name", Refusal.USER_UNKNOWN, NOW)
    noted = [tally.note(f"noord/x{number}", Refusal.USER_UNKNOWN, NOW) for number in range(HOLDERS_MAX + 5)]
    assert noted.count(True) == HOLDERS_MAX
    assert tally.note("noord/x0", Refusal.USER_UNKNOWN, NOW)
    assert len(tally.taken()) == HOLDERS_MAX
