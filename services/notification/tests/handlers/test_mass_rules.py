"""What tells very many people at once needs two of them first."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from uuid import uuid4

import psycopg
import pytest

from maasloop.core.clock import FakeClock
from maasloop.core.errors import FailedPrecondition, MaasloopError, NotFound, PermissionDenied, Unauthenticated
from maasloop.core.requests import Request
from maasloop.notification.adapters.conditions import CelConditions
from maasloop.notification.adapters.postgres import PostgresRules, PostgresSubscriptions
from maasloop.notification.adapters.vault import Vault
from maasloop.notification.domain.rule import PATIENCE_US, AlertRule, ObservationWatch
from maasloop.notification.domain.subscription import Email, Subscription
from maasloop.notification.domain.watchlist import Watchlist
from maasloop.notification.handlers.create_rule import CreateRule
from maasloop.notification.handlers.grant_rule import GrantRule
from maasloop.notification.handlers.refresh_watchlist import RefreshWatchlist
from maasloop.postgres.migrate import migrate, of_package
from maasloop.postgres.pool import open_pool

pytestmark = pytest.mark.integration

ANNA, BERT, ROBOT = "person/anna", "person/bert", "program/robot"
TEXTS = {"nl": "x", "en": "x"}
RULE = AlertRule(
    "smoke", "noord", "air", ObservationWatch("pm25", "value > 75.0"), TEXTS, TEXTS, etag="1", requester=ANNA
)
MASS = 3


@dataclass
class Desk:
    """Three people who want to hear of air in one district, and who makes rules there."""

    clock: FakeClock
    rules: PostgresRules
    create: CreateRule
    grant: GrantRule
    watchlist: Watchlist
    refresh: RefreshWatchlist

    async def created(self, rule: AlertRule = RULE, require_proof: Callable[[], None] = lambda: None) -> AlertRule:
        """Create a rule."""
        return await self.create(rule, Request(str(uuid4()), "CreateAlertRule", b"1"), require_proof)

    async def watched(self) -> set[str]:
        """Return the rules that raise alerts."""
        await self.refresh()
        found = (self.watchlist.readings(district) for district in ("noord", "zuid"))
        return {rule.id for by_property in found for rules in by_property.values() for rule in rules}


@pytest.fixture(name="desk")
async def _desk(service_dsn: Callable[[str], str]) -> AsyncIterator[Desk]:
    dsn, clock, watchlist = service_dsn("notification"), FakeClock(), Watchlist()
    await migrate(dsn, of_package("maasloop.notification"))
    async with open_pool(dsn, name="test-mass") as pool:
        rules = PostgresRules(pool, clock)
        people = PostgresSubscriptions(pool, clock, Vault())
        for number, categories in enumerate([frozenset({"air"}), frozenset({"air", "water"}), frozenset[str]()]):
            subscription = Subscription("noord", f"s-{number}", categories, "nl", Email("a@example.org"))
            await people.add(subscription, Request("", "CreateSubscription", b""))
        create = CreateRule(rules, CelConditions(), clock, mass_subscriptions_min=MASS)
        yield Desk(clock, rules, create, GrantRule(rules, clock), watchlist, RefreshWatchlist(rules, watchlist))


async def test_a_rule_for_few_is_in_force_at_once(desk: Desk) -> None:
    """Two who hear of water, and nobody in another district, are no mass."""
    water, south = replace(RULE, id="flood", category="water"), replace(RULE, id="south", district="zuid")
    assert not (await desk.created(water)).disabled
    assert not (await desk.created(replace(south, requester=""))).disabled
    assert await desk.watched() == {"flood", "south"}


async def test_a_rule_for_many_waits_for_a_second_person(desk: Desk) -> None:
    """It raises nothing until somebody else agreed; both names stay with it."""
    assert (await desk.created()).disabled
    assert await desk.watched() == set()
    agreed = await desk.grant("smoke", BERT, by_person=True)
    assert (agreed.disabled, agreed.requester, agreed.approver) == (False, ANNA, BERT)
    assert await desk.grant("smoke", BERT, by_person=True) == agreed == await desk.rules.get("smoke")
    assert await desk.watched() == {"smoke"}


@pytest.mark.parametrize(
    ("approver", "by_person", "late_us", "error"),
    [
        (ANNA, True, 0, PermissionDenied),
        (ROBOT, False, 0, PermissionDenied),
        (BERT, True, PATIENCE_US, FailedPrecondition),
    ],
)
async def test_nobody_agrees_alone_by_machine_or_too_late(
    desk: Desk, approver: str, by_person: bool, late_us: int, error: type[MaasloopError]
) -> None:
    """The one who created it, a program, and whoever comes after 15 minutes are refused; it stays silent."""
    await desk.created()
    await desk.clock.advance(late_us / 1e6)
    with pytest.raises(error):
        await desk.grant("smoke", approver, by_person=by_person)
    assert await desk.watched() == set()


async def test_only_what_waits_is_granted(desk: Desk) -> None:
    """A rule that is unknown, that waits for nobody or that another one granted is not granted again."""
    with pytest.raises(NotFound):
        await desk.grant("smoke", BERT, by_person=True)
    await desk.created(replace(RULE, id="flood", category="water"))
    await desk.created()
    await desk.grant("smoke", BERT, by_person=True)
    for rule in ("flood", "smoke"):
        with pytest.raises(FailedPrecondition):
            await desk.grant(rule, "person/carl", by_person=True)


async def test_where_nobody_is_identified_nobody_tells_very_many(desk: Desk) -> None:
    """Without callers there is no second person, so that the rule is refused and not stored."""
    with pytest.raises(FailedPrecondition):
        await desk.created(replace(RULE, requester=""))
    assert await desk.rules.get("smoke") is None


async def test_who_has_not_proven_lately_who_they_are_tells_few(desk: Desk) -> None:
    """A rule for many wants a fresh proof and is not stored without; one for few does not."""

    def refuse() -> None:
        raise Unauthenticated("STEP_UP_REQUIRED", "prove it")

    with pytest.raises(Unauthenticated):
        await desk.created(RULE, refuse)
    assert await desk.rules.get("smoke") is None
    assert not (await desk.created(replace(RULE, id="flood", category="water"), refuse)).disabled


async def test_the_table_itself_refuses_one_who_agrees_with_oneself(desk: Desk) -> None:
    """Also a row that is changed by hand can't have the same person twice."""
    await desk.created()
    with pytest.raises(psycopg.errors.CheckViolation):
        await desk.rules.enable(replace(RULE, approver=ANNA))
