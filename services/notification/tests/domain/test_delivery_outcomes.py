"""What becomes of a delivery after each attempt."""

from datetime import UTC, datetime, timedelta

import pytest

from maasloop.core.reasons import Reason
from maasloop.notification.domain.alert import Occasion
from maasloop.notification.domain.delivery import (
    PAUSES_S,
    Attempt,
    Deferred,
    Delivery,
    DeliveryState,
    Refused,
    Taken,
    settled,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _delivery(attempt_count: int) -> Delivery:
    return Delivery(
        district="noord",
        id="a",
        alert="b",
        subscription="c",
        channel="webhook",
        occasion=Occasion.RAISED,
        language="nl",
        subject="s",
        content="{}",
        state=DeliveryState.PENDING,
        create_time=NOW,
        next_attempt_time=NOW,
        attempt_count=attempt_count,
    )


def _after(attempt_count: int, attempt: Attempt, jitter: float = 0.0) -> Delivery:
    return settled(_delivery(attempt_count), attempt, now=NOW, pauses_s=PAUSES_S, jitter=jitter)


@pytest.mark.parametrize(("attempt_count", "pause_s"), list(enumerate(PAUSES_S, start=1)))
def test_pauses_follow_the_table(attempt_count: int, pause_s: float) -> None:
    """The n-th failed attempt is followed by the n-th pause, longer by at most the jitter."""
    waiting = _after(attempt_count, Deferred("HTTP 503"))
    assert waiting.next_attempt_time == NOW + timedelta(seconds=pause_s)
    assert waiting.state is DeliveryState.PENDING
    assert _after(attempt_count, Deferred(""), 1.0).next_attempt_time == NOW + timedelta(seconds=pause_s * 1.1)


def test_the_last_attempt_gives_up() -> None:
    """After the last pause of the table a failure is final, with its reason and what was said last."""
    failed = _after(len(PAUSES_S) + 1, Deferred("HTTP 503"))
    assert (failed.state, failed.reason) == (DeliveryState.FAILED, Reason.DELIVERY_EXHAUSTED)
    assert (failed.detail, failed.settle_time, failed.next_attempt_time) == ("HTTP 503", NOW, None)


def test_a_receiver_may_ask_for_patience() -> None:
    """Retry-After lengthens a pause, never beyond an hour, and never shortens it."""
    assert _after(1, Deferred("", 60.0)).next_attempt_time == NOW + timedelta(seconds=60)
    assert _after(1, Deferred("", 1e9)).next_attempt_time == NOW + timedelta(hours=1)
    assert _after(3, Deferred("", 1.0)).next_attempt_time == NOW + timedelta(seconds=PAUSES_S[2])


def test_taken_and_refused_are_final() -> None:
    """Neither is tried again; only the refusal has a reason."""
    taken, refused = _after(1, Taken("HTTP 204")), _after(1, Refused(Reason.DELIVERY_REFUSED, "HTTP 404"))
    assert (taken.state, taken.reason, taken.next_attempt_time) == (DeliveryState.DELIVERED, "", None)
    assert (refused.state, refused.reason, refused.next_attempt_time) == (
        DeliveryState.FAILED,
        "DELIVERY_REFUSED",
        None,
    )
