"""A new alert rule; one that would tell very many waits for a second person."""

from collections.abc import Callable
from dataclasses import replace

from maasloop.core.clock import Clock
from maasloop.core.errors import FailedPrecondition
from maasloop.core.reasons import Reason
from maasloop.core.requests import Request
from maasloop.notification.domain.rule import AlertRule, require_rule
from maasloop.notification.ports import Conditions, Rules


class CreateRule:
    """Validates a rule, compiles what it asks, and stores it."""

    def __init__(self, rules: Rules, conditions: Conditions, clock: Clock, *, mass_subscriptions_min: int) -> None:
        self._rules = rules
        self._conditions = conditions
        self._clock = clock
        self._mass_subscriptions_min = mass_subscriptions_min

    async def __call__(self, rule: AlertRule, request: Request, require_proof: Callable[[], None]) -> AlertRule:
        """Return the stored rule; ``require_proof`` refuses whoever may make none that tells very many."""
        require_rule(rule)
        self._conditions.require_valid(rule)
        mass = await self._rules.audience(rule.district, rule.category) >= self._mass_subscriptions_min
        if mass and not rule.requester:
            message = "it would tell very many, and callers are not identified here: nobody could be the second person"
            raise FailedPrecondition(Reason.STATE_FORBIDS, message, {"state": "CALLERS_UNKNOWN"})
        if mass:
            require_proof()
        return await self._rules.add(replace(rule, disabled=mass, create_time_us=self._clock.now_us()), request)
