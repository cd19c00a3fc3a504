"""A new alert rule."""

from maasloop.notification.domain.rule import AlertRule, require_rule
from maasloop.notification.ports import Conditions, Request, Rules


class CreateRule:
    """Validates a rule, compiles what it asks, and stores it."""

    def __init__(self, rules: Rules, conditions: Conditions) -> None:
        self._rules = rules
        self._conditions = conditions

    async def __call__(self, rule: AlertRule, request: Request) -> AlertRule:
        """Return the stored rule."""
        require_rule(rule)
        self._conditions.require_valid(rule)
        return await self._rules.add(rule, request)
