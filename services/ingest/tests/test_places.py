"""An operator replays what was refused in the own district, and nothing else, though calls name only the entry."""

from collections.abc import Callable

import pytest

from maasloop.api.observation.v1.ingest_service_pb2 import ReplayQuarantineRequest
from maasloop.core.errors import PermissionDenied
from maasloop.identity.principals import Grant, Kind, Principal
from maasloop.identity.roles import Roles
from maasloop.ingest.adapters.postgres import PostgresQuarantine
from maasloop.ingest.entrypoints.places import EntryPlaces
from maasloop.ingest.ports import QuarantineEntry
from maasloop.postgres.migrate import migrate, of_package
from maasloop.postgres.pool import open_pool
from maasloop.rpc.authorization import RoleAuthorizer

pytestmark = pytest.mark.integration

REPLAY = "/maasloop.api.observation.v1.IngestService/ReplayQuarantine"
OPERATOR = Principal(Kind.PERSON, "ada", grants=(Grant("operator", frozenset({"noord"})),))
KEPT = {"1": "noord", "2": "noord", "foreign": "zuid", "placeless": ""}
CASES = {
    ("quarantineEntries/1", "quarantineEntries/2"): True,
    ("quarantineEntries/1", "quarantineEntries/foreign"): False,
    ("quarantineEntries/placeless",): False,
    ("quarantineEntries/none",): False,
    ("1",): False,
}
"""By the names of a request: whether it is permitted."""


async def test_an_operator_replays_the_entries_of_the_district(service_dsn: Callable[[str], str]) -> None:
    """One foreign entry, one without a district or one that there is not makes the call a matter of the whole city."""
    dsn = service_dsn("ingest")
    await migrate(dsn, of_package("maasloop.ingest"))
    async with open_pool(dsn, name="test-places", size_max=2) as pool:
        store = PostgresQuarantine(pool)
        for id_, district in KEPT.items():
            await store.keep(QuarantineEntry(id_, 1, "mqtt", district, "lamp", "DEVICE_UNKNOWN", "", 1, "", b"x"))
        authorizer = RoleAuthorizer(Roles.load(), EntryPlaces(store))

        async def permitted(*names: str) -> bool:
            try:
                await authorizer.authorize(OPERATOR, REPLAY, ReplayQuarantineRequest(names=names))
            except PermissionDenied:
                return False
            return True

        assert {names: await permitted(*names) for names in CASES} == CASES
