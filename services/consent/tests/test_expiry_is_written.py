"""A consent that ends by itself leaves an entry in the audit log, in the commit that ends it."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from maasloop.audit.entries import Verb, decode
from maasloop.consent.adapters.identifiers import RandomIdentifiers
from maasloop.consent.adapters.postgres import PostgresRegister
from maasloop.consent.entrypoints.messages import MessageCodec
from maasloop.consent.handlers.expire_consents import ExpireConsents
from maasloop.core.clock import FakeClock
from maasloop.postgres.pool import open_pool
from maasloop.runtime.owning import Owner

pytestmark = pytest.mark.integration


async def test_who_ended_a_consent_was_its_end(consent: Any, give: Any) -> None:  # noqa: ANN401 - of conftest, which cannot be imported by name
    """The entry names the record and no person; a round that ends nothing writes nothing."""
    given = await give(consent.stub, consent.clock.now() + timedelta(seconds=10))
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
