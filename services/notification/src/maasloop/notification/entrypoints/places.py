"""Which district a rule belongs to, for the judgement of calls that name only the rule."""

from collections.abc import Mapping, Sequence

from maasloop.notification.entrypoints.messages import RULES
from maasloop.notification.ports import Rules
from maasloop.rpc.authorization import Place


class RulePlaces:
    """Answers from the stored rules."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    async def __call__(self, names: Sequence[str]) -> Mapping[str, Place]:
        """Return the districts of rules, without what is no rule that is known."""
        found = {}
        for name in names:
            collection, _, id_ = name.partition("/")
            rule = await self._rules.get(id_) if collection == RULES else None
            if rule is not None:
                found[name] = Place(district=rule.district)
        return found
