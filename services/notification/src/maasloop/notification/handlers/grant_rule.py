"""A second person agrees to a rule that tells very many."""

from maasloop.core.clock import Clock
from maasloop.core.errors import FailedPrecondition, NotFound
from maasloop.core.reasons import Reason
from maasloop.notification.domain.rule import AlertRule, granted
from maasloop.notification.ports import Rules


class GrantRule:
    """Enables a rule that waits."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock

    async def __call__(self, rule: str, approver: str, *, by_person: bool) -> AlertRule:
        """Return the enabled rule."""
        found = await self._rules.get(rule)
        if found is None:
            name = f"alertRules/{rule}"
            raise NotFound(Reason.RESOURCE_NOT_FOUND, f"{name} does not exist", {"name": name})
        agreed = granted(found, approver, by_person=by_person, now_us=self._clock.now_us())
        if agreed != found and not await self._rules.enable(agreed):
            raise FailedPrecondition(Reason.STATE_FORBIDS, "somebody else granted it", {"state": "ENABLED"})
        return agreed
