"""Where a command, an override or a policy belongs, for the judgement of calls that name only the resource."""

from collections.abc import Mapping, Sequence

from maasloop.actuation.domain.command import Command
from maasloop.actuation.domain.override import Override
from maasloop.actuation.domain.policy import Policy
from maasloop.actuation.domain.setpoint import LightLevel, LocalControl, Setpoint
from maasloop.actuation.ports import Records
from maasloop.core.domains import Domain
from maasloop.rpc.authorization import Place

DISTRICTS, COMMANDS, OVERRIDES, POLICIES = "districts", "commands", "overrides", "policies"
_PARTS = 4


class ResourcePlaces:
    """Answers from what is durable, and from the policies that every instance holds."""

    def __init__(self, records: Records, policies: Mapping[str, Policy]) -> None:
        self._records = records
        self._policies = policies

    async def __call__(self, names: Sequence[str]) -> Mapping[str, Place]:
        """Return districts and domains, without what is no command, override or policy that is known."""
        return {name: place for name in names if (place := await self._place(name)) is not None}

    async def _place(self, name: str) -> Place | None:
        parts = name.split("/")
        if parts[0] == POLICIES:
            policy = self._policies.get("/".join(parts[1:]))
            return None if policy is None else Place(district=policy.district, domain=Domain.LIGHT)
        if len(parts) != _PARTS or parts[0] != DISTRICTS:
            return None
        _, district, collection, resource_id = parts
        found: Command | Override | None = None
        if collection == COMMANDS:
            found = await self._records.command(district, resource_id)
        elif collection == OVERRIDES:
            found = await self._records.override(district, resource_id)
        return None if found is None else Place(district=district, domain=_domain(found.setpoint))


def _domain(setpoint: Setpoint) -> str | None:
    """Return the domain as the contract gives it to kinds of setpoints; local control has none."""
    if isinstance(setpoint, LocalControl):
        return None
    return Domain.LIGHT if isinstance(setpoint, LightLevel) else Domain.TRAFFIC
