"""The consent gate closes when in doubt, and opens by what the owner says."""

from datetime import timedelta

from maasloop.api.consent.v1.consent_pb2 import ConsentRecord, ProcessingActivity
from maasloop.api.consent.v1.events_pb2 import ConsentResource
from maasloop.core.clock import FakeClock
from maasloop.core.permission import ConsentFacts
from maasloop.rpc.times import timestamp_from
from maasloop.runtime.permitting import CONFIRM_WITHIN_S, ConsentGate, consent_facts_of, consent_projection
from maasloop.runtime.projection import Change

ACTIVITY = ConsentResource(
    processing_activity=ProcessingActivity(
        name="processingActivities/air", legal_basis=ProcessingActivity.LEGAL_BASIS_EXPLICIT_CONSENT
    )
)


def _record(state: "ConsentRecord.State.ValueType", expire_in_s: float | None = None) -> ConsentResource:
    record = ConsentRecord(
        name="consentRecords/1",
        data_subject="dataSubjects/anna",
        processing_activity="processingActivities/air",
        state=state,
    )
    if expire_in_s is not None:
        record.expire_time.CopyFrom(timestamp_from(FakeClock().now() + timedelta(seconds=expire_in_s)))
    return ConsentResource(consent_record=record)


def _facts(*resources: ConsentResource) -> dict[str, ConsentFacts]:
    named = [consent_facts_of(resource) for resource in resources]
    return {item[0]: item[1] for item in named if item is not None and item[1] is not None}


async def test_the_gate_needs_a_snapshot_and_a_confirmation() -> None:
    """Nothing passes before both, nor once the owner has been silent for too long."""
    clock = FakeClock()
    projection = consent_projection(clock)
    gate = ConsentGate(projection, clock)
    said = []

    said.append(gate.permits("anna", "air"))
    projection.snapshot(2, _facts(ACTIVITY, _record(ConsentRecord.STATE_GIVEN)))
    said.append(gate.permits("anna", "air"))
    projection.confirm(2)
    said.append(gate.permits("anna", "air"))
    await clock.advance(CONFIRM_WITHIN_S + 0.1)
    said.append(gate.permits("anna", "air"))

    assert said == [False, False, True, False]


async def test_a_withdrawal_closes_the_gate_at_once() -> None:
    """From the moment that the projection hears it."""
    clock = FakeClock()
    projection = consent_projection(clock)
    gate = ConsentGate(projection, clock)
    projection.snapshot(2, _facts(ACTIVITY, _record(ConsentRecord.STATE_GIVEN)))
    projection.confirm(2)
    assert gate.permits("anna", "air")

    projection.apply(Change(2, 3, _facts(_record(ConsentRecord.STATE_WITHDRAWN))))

    assert not gate.permits("anna", "air")


async def test_an_end_closes_the_gate_without_a_word_of_the_owner() -> None:
    """A record that ends by itself ends by the gate's own clock."""
    clock = FakeClock()
    projection = consent_projection(clock)
    gate = ConsentGate(projection, clock)
    projection.snapshot(2, _facts(ACTIVITY, _record(ConsentRecord.STATE_GIVEN, expire_in_s=10)))
    projection.confirm(2)
    assert gate.permits("anna", "air")

    await clock.advance(10)
    projection.confirm(2)

    assert not gate.permits("anna", "air")
