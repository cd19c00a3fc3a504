"""Who wins a target."""

from hypothesis import given
from hypothesis import strategies as st

from maasloop.actuation.domain.arbitration import Holder, Lost, Won, arbitrate, stronger
from maasloop.actuation.domain.authority import Authority

NOW_US = 1_000_000
AUTHORITIES = st.sampled_from(Authority)


@given(AUTHORITIES, AUTHORITIES, st.integers(0, 2_000_000))
def test_the_stronger_wins_and_the_newer_among_equals(held: Authority, asked: Authority, until_us: int) -> None:
    """A lease in force is lost to an equal or stronger authority only; an expired one to everybody."""
    outcome = arbitrate(Holder(held, "holder", until_us), asked, "asker", NOW_US)

    wins = asked >= held or until_us <= NOW_US
    assert isinstance(outcome, Won if wins else Lost)


@given(AUTHORITIES, AUTHORITIES)
def test_who_holds_a_target_may_ask_again(held: Authority, asked: Authority) -> None:
    """An issuer never outranks itself."""
    assert arbitrate(Holder(held, "same", NOW_US + 1), asked, "same", NOW_US) == Won()


@given(st.lists(st.tuples(AUTHORITIES, st.integers(0, 2_000_000)), min_size=2, max_size=2))
def test_the_stronger_of_two_holders_in_force_counts(holders: list[tuple[Authority, int]]) -> None:
    """Expired holders do not count, and of those in force the strongest does."""
    one, other = (Holder(authority, str(number), until) for number, (authority, until) in enumerate(holders))
    found = stronger(one, other, NOW_US)

    in_force = [holder for holder in (one, other) if holder.until_us > NOW_US]
    assert found == (max(in_force, key=lambda holder: holder.authority) if in_force else None)
