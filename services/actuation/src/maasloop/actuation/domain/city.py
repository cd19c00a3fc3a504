"""All districts of this instance, the device types, and the policies: the whole working state."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .district import District
from .facts import Capability, Device
from .policy import Mode, Policy


@dataclass(slots=True)
class City:
    """The working state, restored at start and kept by the steps."""

    districts: dict[str, District] = field(default_factory=dict)
    capabilities: dict[str, frozenset[Capability]] = field(default_factory=dict)
    """By device type."""
    observed: dict[str, frozenset[str]] = field(default_factory=dict)
    """Observed properties by device type."""
    policies: dict[str, Policy] = field(default_factory=dict)
    policy_version: int = 0
    """Changes with every change of a policy."""
    _by_property: dict[tuple[str, str], tuple[Policy, ...]] = field(default_factory=dict)

    def district(self, name: str) -> District:
        """Return a district; one that nothing is known of yet is made."""
        found = self.districts.get(name)
        if found is None:
            found = self.districts[name] = District(name)
        return found

    def capabilities_of(self, device: Device | None) -> frozenset[Capability]:
        """Return what the actuator of a device understands; nothing for an unknown one."""
        return frozenset() if device is None else self.capabilities.get(device.device_type, frozenset())

    def observed_by(self, device: Device | None) -> frozenset[str]:
        """Return the observed properties of a device; nothing for an unknown one."""
        return frozenset() if device is None else self.observed.get(device.device_type, frozenset())

    def put_policy(self, policy: Policy) -> None:
        """Take a version of a policy; its state in every scope starts afresh when its rule changed."""
        known = self.policies.get(policy.id)
        self.policies[policy.id] = policy
        self.policy_version += 1
        self._index()
        if known is not None and _rule(known) != _rule(policy):
            self._forget(known)

    def policies_for(self, district: str, observed_property: str) -> tuple[Policy, ...]:
        """Return the policies that a reading of a property wakes, ordered by id."""
        return self._by_property.get((district, observed_property), ())

    def awake_properties(self) -> Mapping[tuple[str, str], tuple[Policy, ...]]:
        """Return the policies by the district and property that wake them."""
        return self._by_property

    def _index(self) -> None:
        found: dict[tuple[str, str], list[Policy]] = {}
        for name in sorted(self.policies):
            policy = self.policies[name]
            if policy.mode is not Mode.OFF:
                for observed_property in policy.observed_properties:
                    found.setdefault((policy.district, observed_property), []).append(policy)
        self._by_property = {key: tuple(policies) for key, policies in found.items()}

    def _forget(self, policy: Policy) -> None:
        district = self.districts.get(policy.district)
        if district is None:
            return
        for key in [key for key in district.scopes if key[0] == policy.id]:
            del district.scopes[key]
        for wanted in district.wanted.values():
            wanted.levels.pop(policy.id, None)


def _rule(policy: Policy) -> Policy:
    """Return the policy without what only describes it."""
    return replace(policy, version=0, update_time_us=0, etag="", display_name="")
