"""A consent that ends by itself leaves an entry in the audit log, in the commit that ends it."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from google.protobuf.duration_pb2 import Duration

from maasloop.api.consent.v1 import consent_service_pb2 as pb
from maasloop.api.consent.v1.consent_pb2 import ConsentRecord, ProcessingActivity
from maasloop.audit.entries import Verb, decode
from maasloop.consent.adapters.identifiers import RandomIdentifiers
from maasloop.consent.adapters.postgres import PostgresRegister
from maasloop.consent.entrypoints.messages import MessageCodec
from maasloop.consent.handlers.expire_consents import ExpireConsents
from maasloop.core.clock import FakeClock
from maasloop.postgres.pool import open_pool
from maasloop.rpc.client import call
from maasloop.rpc.times import timestamp_from
from maasloop.runtime.owning import Owner

pytestmark = pytest.mark.integration


async def test_who_ended_a_consent_was_its_end(consent: Any) -> None:  # noqa: ANN401 - a class of conftest, which cannot be imported by name
    """The entry names the record and no person; a round that ends nothing writes nothing."""
    activity = ProcessingActivity(
        display_name="Air by bike",
        purpose="Map the air where people ride.",
        legal_basis=ProcessingActivity.LEGAL_BASIS_CONSENT,
        data_categories=["pm25"],
        retention=Duration(seconds=86_400),
        controller="City",
    )
    created = pb.CreateProcessingActivityRequest(processing_activity_id="air", processing_activity=activity)
    await call(consent.stub.CreateProcessingActivity, created)
    record = ConsentRecord(
        data_subject="dataSubjects/someone",
        processing_activity="processingActivities/air",
        notice_version="2026-1",
        method="app",
        expire_time=timestamp_from(consent.clock.now() + timedelta(seconds=10)),
    )
    given = await call(
        consent.stub.GrantConsent, pb.GrantConsentRequest(consent_record=record, request_id=str(uuid4()))
    )
    later = FakeClock()
    await later.advance((consent.clock.now() - later.now()).total_seconds() + 11)
    async with open_pool(consent.dsn, name="test", size_max=2) as pool:
        register = PostgresRegister(Owner(pool, later), MessageCodec(), lambda: None, audited=True)
        expire = ExpireConsents(register, RandomIdentifiers(), later)
        assert [await expire(), await expire()] == [1, 0]

    with psycopg.connect(consent.dsn) as connection:
        ((text,),) = connection.execute("SELECT entry FROM audit.read(0, 10)").fetchall()
    entry = decode(text)
    assert (entry.verb, entry.resource, entry.outcome) == (Verb.CHANGED, given.name, "EXPIRED")
    assert (entry.actor, entry.authority) == ("service/consent", "expire_time")
    assert "someone" not in text
