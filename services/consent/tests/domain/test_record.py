"""The life of a record and what follows from it, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as given_values
from hypothesis import strategies as st

from maasloop.consent.domain.activity import LegalBasis, ProcessingActivity
from maasloop.consent.domain.permission import permission
from maasloop.consent.domain.record import Asked, ConsentRecord, RecordState, expired, given, objected, withdrawn
from maasloop.core.clock import to_us
from maasloop.core.errors import FailedPrecondition, InvalidArgument
from maasloop.core.permission import ActivityFacts, Basis, ConsentBook, RecordFacts
from maasloop.core.permission import RecordState as Known

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ASKED = Asked("someone", "air", notice_version="1", method="app", expire_time=NOW + timedelta(days=1))
STEPS = {"withdraw": withdrawn, "expire": expired}


def _activity(basis: LegalBasis) -> ProcessingActivity:
    return ProcessingActivity("air", "Air", "Cleaner air", basis, ("pm25",), 86_400, "City")


@given_values(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 3)), max_size=6))
def test_a_record_ends_once_and_stays_ended(steps: list[tuple[str, int]]) -> None:
    """Whatever happens when, a record that ended is never in force again, and each change is an event."""
    record = given(ASKED, "r", "receipt-0", NOW)
    now = NOW
    for number, (step, days) in enumerate(steps, 1):
        now += timedelta(days=days)
        before = record
        record = STEPS[step](record, f"receipt-{number}", now)
        assert before.state is RecordState.GIVEN or record is before
        assert len(record.events) == 1 + (record.state is not RecordState.GIVEN)
        assert record.events[-1].state is record.state
        assert not (record.in_force(now) and record.state is not RecordState.GIVEN)


def test_an_objection_is_no_consent_to_withdraw() -> None:
    """Only a consent can be withdrawn."""
    with pytest.raises(FailedPrecondition):
        withdrawn(objected(ASKED, "r", "x", NOW), "y", NOW)


def test_consent_cannot_begin_after_its_end() -> None:
    """An end in the past is refused."""
    with pytest.raises(InvalidArgument):
        given(ASKED, "r", "x", NOW + timedelta(days=1))


RECORD = given(ASKED, "r", "x", NOW)


@pytest.mark.parametrize(
    ("basis", "latest", "permitted"),
    [
        (None, RECORD, False),
        (LegalBasis.CONSENT, None, False),
        (LegalBasis.CONSENT, RECORD, True),
        (LegalBasis.EXPLICIT_CONSENT, RECORD, True),
        (LegalBasis.CONSENT, withdrawn(RECORD, "y", NOW), False),
        (LegalBasis.CONSENT, expired(RECORD, "y", NOW + timedelta(days=2)), False),
        (LegalBasis.PUBLIC_TASK, None, True),
        (LegalBasis.PUBLIC_TASK, objected(ASKED, "r", "x", NOW), False),
        (LegalBasis.VITAL_INTERESTS, None, True),
    ],
)
def test_permission_follows_from_ground_and_record(
    basis: LegalBasis | None, latest: ConsentRecord | None, permitted: bool
) -> None:
    """What is not known is not permitted, and every answer says why."""
    found = permission(_activity(basis) if basis else None, latest, NOW)

    assert found.permitted is permitted
    assert found.detail


@pytest.mark.parametrize("basis", LegalBasis)
@pytest.mark.parametrize("state", [None, *RecordState])
@pytest.mark.parametrize("days", [0, 2])
def test_enforcers_judge_alike(basis: LegalBasis, state: RecordState | None, days: int) -> None:
    """What the owner answers is what a gate finds that holds the same activity and record."""
    latest = None if state is None else replace(RECORD, state=state)
    now = NOW + timedelta(days=days)
    book = ConsentBook()
    bases = {LegalBasis.CONSENT: Basis.CONSENT, LegalBasis.EXPLICIT_CONSENT: Basis.CONSENT}
    bases |= {LegalBasis.PUBLIC_TASK: Basis.PUBLIC_TASK, LegalBasis.VITAL_INTERESTS: Basis.VITAL_INTERESTS}
    book.put({"processingActivities/air": ActivityFacts(bases[basis])})
    if latest is not None:
        ended = latest.state in {RecordState.WITHDRAWN, RecordState.EXPIRED}
        known = Known.ENDED if ended else Known(latest.state.lower())
        book.put({"consentRecords/r": RecordFacts("someone", "air", known, to_us(NOW + timedelta(days=1)))})

    permitted = book.permits("someone", "air", to_us(now))

    assert permission(_activity(basis), latest, now).permitted is permitted


def test_a_consent_past_its_end_permits_nothing_before_the_timer_ran() -> None:
    """The end counts, not the bookkeeping of it."""
    assert not permission(_activity(LegalBasis.CONSENT), RECORD, NOW + timedelta(days=1)).permitted
