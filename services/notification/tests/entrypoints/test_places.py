"""An operator deletes the alert rules of the own district, and no other, though calls name only the rule."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from maasloop.api.notification.v1.notification_service_pb2 import DeleteAlertRuleRequest
from maasloop.core.clock import FakeClock
from maasloop.core.errors import PermissionDenied
from maasloop.core.requests import Request
from maasloop.identity.principals import Grant, Kind, Principal
from maasloop.identity.roles import Roles
from maasloop.notification.adapters.conditions import CelConditions
from maasloop.notification.adapters.postgres import PostgresRules
from maasloop.notification.domain.rule import AlertRule, ObservationWatch
from maasloop.notification.entrypoints.places import RulePlaces
from maasloop.notification.handlers.create_rule import CreateRule
from maasloop.postgres.migrate import migrate, of_package
from maasloop.postgres.pool import open_pool
from maasloop.rpc.authorization import RoleAuthorizer

pytestmark = pytest.mark.integration

DELETE = "/maasloop.api.notification.v1.NotificationService/DeleteAlertRule"
OPERATOR = Principal(Kind.PERSON, "ada", grants=(Grant("operator", frozenset({"noord"})),))
TEXTS = {"nl": "x", "en": "x"}
CASES = {"alertRules/smoke": True, "alertRules/far": False, "alertRules/none": False, "smoke": False}
"""By name: whether its deletion is permitted."""


async def test_an_operator_deletes_the_rules_of_the_district(service_dsn: Callable[[str], str]) -> None:
    """A rule of another district, and one that there is not, are a matter of the whole city."""
    dsn, clock = service_dsn("notification"), FakeClock()
    await migrate(dsn, of_package("maasloop.notification"))
    async with open_pool(dsn, name="test-places", size_max=2) as pool:
        rules = PostgresRules(pool, clock)
        create = CreateRule(rules, CelConditions(), clock, mass_subscriptions_min=1_000)
        for id_, district in (("smoke", "noord"), ("far", "zuid")):
            rule = AlertRule(id_, district, "air", ObservationWatch("pm25", "value > 75.0"), TEXTS, TEXTS, etag="1")
            await create(rule, Request(str(uuid4()), "CreateAlertRule", b"1"), lambda: None)
        authorizer = RoleAuthorizer(Roles.load(), RulePlaces(rules))

        async def permitted(name: str) -> bool:
            try:
                await authorizer.authorize(OPERATOR, DELETE, DeleteAlertRuleRequest(name=name))
            except PermissionDenied:
                return False
            return True

        assert {name: await permitted(name) for name in CASES} == CASES
