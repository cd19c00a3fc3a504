"""A citizen withdraws what they gave, and nobody else does, though the call names only the record."""

from typing import Any

import pytest

from maasloop.api.consent.v1 import consent_service_pb2 as pb
from maasloop.consent.adapters.postgres import PostgresRegister
from maasloop.consent.entrypoints.messages import MessageCodec
from maasloop.consent.entrypoints.places import RecordPlaces
from maasloop.consent.handlers.read_register import ReadRegister
from maasloop.core.clock import SystemClock
from maasloop.core.errors import PermissionDenied
from maasloop.identity.principals import Grant, Kind, Principal
from maasloop.identity.roles import Roles
from maasloop.postgres.pool import open_pool
from maasloop.rpc.authorization import RoleAuthorizer
from maasloop.runtime.owning import Owner

pytestmark = pytest.mark.integration

WITHDRAW = "/maasloop.api.consent.v1.ConsentService/WithdrawConsent"
CITIZEN = (Grant("citizen", None),)


async def test_a_citizen_withdraws_the_own_consent(consent: Any, give: Any) -> None:  # noqa: ANN401 - of conftest, which cannot be imported by name
    """Whose record it is may withdraw it; another citizen may not, and nobody may what there is not."""
    name = (await give(consent.stub)).name
    async with open_pool(consent.dsn, name="test", size_max=2) as pool:
        register = PostgresRegister(Owner(pool, SystemClock()), MessageCodec(), lambda: None)
        authorizer = RoleAuthorizer(Roles.load(), RecordPlaces(ReadRegister(register)))

        async def refused(data_subject: str, record: str) -> bool:
            person = Principal(Kind.PERSON, "ada", grants=CITIZEN, data_subject=data_subject)
            try:
                await authorizer.authorize(person, WITHDRAW, pb.WithdrawConsentRequest(name=record))
            except PermissionDenied:
                return True
            return False

        assert not await refused("someone", name)
        assert await refused("another", name)
        assert await refused("", name)
        assert await refused("someone", "consentRecords/none")
        assert await refused("someone", "processingActivities/air")
