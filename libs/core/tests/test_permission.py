"""Whether personal readings may be processed: by ground, by record, and no in doubt."""

import pytest

from maasloop.core.permission import ActivityFacts, Basis, ConsentBook, ConsentFacts, RecordFacts, RecordState

NOW_US = 1_764_000_000_000_000
ACTIVITY = "processingActivities/air"


def _book(basis: Basis, *records: tuple[RecordState, int]) -> ConsentBook:
    book = ConsentBook()
    facts: dict[str, ConsentFacts | None] = {ACTIVITY: ActivityFacts(basis)}
    for number, (state, expire_us) in enumerate(records):
        facts[f"consentRecords/{number}"] = RecordFacts("anna", "air", state, expire_us)
    book.put(facts)
    return book


@pytest.mark.parametrize(
    ("basis", "records", "permitted"),
    [
        (Basis.CONSENT, [], False),
        (Basis.CONSENT, [(RecordState.GIVEN, 0)], True),
        (Basis.CONSENT, [(RecordState.GIVEN, NOW_US + 1)], True),
        (Basis.CONSENT, [(RecordState.GIVEN, NOW_US)], False),
        (Basis.CONSENT, [(RecordState.ENDED, 0)], False),
        (Basis.CONSENT, [(RecordState.ENDED, 0), (RecordState.GIVEN, 0)], True),
        (Basis.CONSENT, [(RecordState.ERASED, 0)], False),
        (Basis.CONSENT, [(RecordState.ERASED, 0), (RecordState.GIVEN, 0)], True),
        (Basis.PUBLIC_TASK, [], True),
        (Basis.PUBLIC_TASK, [(RecordState.OBJECTED, 0)], False),
        (Basis.PUBLIC_TASK, [(RecordState.ERASED, 0)], False),
        (Basis.VITAL_INTERESTS, [], True),
        (Basis.VITAL_INTERESTS, [(RecordState.ERASED, 0)], False),
    ],
)
def test_the_ground_and_the_records_decide(
    basis: Basis, records: list[tuple[RecordState, int]], permitted: bool
) -> None:
    """Consent needs a record in force, a public task none that objects, and who was erased needs to consent anew."""
    assert _book(basis, *records).permits("anna", "air", NOW_US) is permitted


def test_what_is_not_known_is_closed() -> None:
    """Another activity, another person, and an activity that is gone do not pass."""
    book = _book(Basis.CONSENT, (RecordState.GIVEN, 0))

    assert not book.permits("anna", "health", NOW_US)
    assert not book.permits("bert", "air", NOW_US)
    book.put({ACTIVITY: None})
    assert not book.permits("anna", "air", NOW_US)


def test_a_record_that_changes_counts_as_it_is_now() -> None:
    """A withdrawal replaces the record it ends, and a record that is gone counts no more."""
    book = _book(Basis.CONSENT, (RecordState.GIVEN, 0))
    book.put({"consentRecords/0": RecordFacts("anna", "air", RecordState.ENDED, 0)})
    assert not book.permits("anna", "air", NOW_US)

    book.put({"consentRecords/1": RecordFacts("anna", "air", RecordState.GIVEN, 0)})
    assert book.permits("anna", "air", NOW_US)
    book.put({"consentRecords/1": None})
    assert not book.permits("anna", "air", NOW_US)
