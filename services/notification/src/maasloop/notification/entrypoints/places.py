"""Which district a rule belongs to, for the judgement of calls that name only the rule."""

from maasloop.notification.entrypoints.messages import RULES
from maasloop.notification.ports import Rules
from maasloop.rpc.authorization import Place


class RulePlaces:
    """Answers from the stored rules."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    async def __call__(self, name: str) -> Place | None:
        """Return the district of a rule; none for what is no rule that is known."""
        collection, _, id_ = name.partition("/")
        rule = await self._rules.get(id_) if collection == RULES else None
        return None if rule is None else Place(district=rule.district)
