"""Policies are written: created in shadow mode, changed version by version, switched between off, shadow and active."""

from dataclasses import replace

from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.policy import Mode, Policy
from maasloop.actuation.ports import Conditions, PolicyStore
from maasloop.core.errors import Conflict, InvalidArgument, NotFound
from maasloop.core.ids import require_id
from maasloop.core.reasons import Reason


class ChangePolicy:
    """Validates, stores and then puts to work."""

    def __init__(self, city: City, conditions: Conditions, store: PolicyStore) -> None:
        """Work on the city's state."""
        self._city = city
        self._conditions = conditions
        self._store = store

    async def create(self, policy: Policy, wall_us: int) -> Policy:
        """Store a new policy in shadow mode."""
        for field in ("display_name", "observed_properties", "on_condition"):
            if not getattr(policy, field):
                message = f"a new policy needs {field}"
                raise InvalidArgument(Reason.REQUEST_INVALID, message, {"field": f"policy.{field}", "rule": "required"})
        require_id(policy.id, "policy_id")
        require_id(policy.district, "policy.district")
        for name in policy.observed_properties:
            require_id(name, "policy.observed_properties")
        self._conditions.require_valid(policy)
        stored = await self._store.create(replace(policy, mode=Mode.SHADOW, version=1, update_time_us=wall_us))
        self._city.put_policy(stored)
        return stored

    async def update(self, policy: Policy, *, etag: str, wall_us: int) -> Policy:
        """Store the next version of a policy whose fields were merged already."""
        known = self.known(policy.id)
        if etag and etag != known.etag:
            raise Conflict(Reason.ETAG_MISMATCH, "the policy changed since it was read", {"etag": known.etag})
        self._conditions.require_valid(policy)
        changed = replace(policy, mode=known.mode, version=known.version + 1, update_time_us=wall_us)
        stored = await self._store.replace(changed, etag=known.etag)
        self._city.put_policy(stored)
        return stored

    async def set_mode(self, name: str, mode: Mode, wall_us: int) -> Policy:
        """Switch a policy; the mode it has already changes nothing."""
        known = self.known(name)
        if known.mode is mode:
            return known
        changed = replace(known, mode=mode, version=known.version + 1, update_time_us=wall_us)
        stored = await self._store.replace(changed, etag=known.etag)
        self._city.put_policy(stored)
        return stored

    def known(self, name: str) -> Policy:
        """Return a policy, or refuse a name that is none."""
        policy = self._city.policies.get(name)
        if policy is None:
            raise NotFound(Reason.RESOURCE_NOT_FOUND, f"no policy {name}", {"name": f"policies/{name}"})
        return policy
