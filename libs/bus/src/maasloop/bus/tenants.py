"""Tenants: who share the services of a city, and never each other's devices.

The devices of a tenant have an account of their own on NATS. A tenant that is alone has every district; where there are
several, each names its own, so that of a subject between devices and services only the tenant's districts cross.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from maasloop.core.errors import InvalidArgument
from maasloop.core.ids import require_id
from maasloop.core.reasons import Reason

from . import subjects
from .streams import Durable

CITY = "city"
"""The tenant of a machine that declares none, and the one in which network servers are."""
TENANTS_MAX = 8
DISTRICTS_MAX = 64
"""Districts of one tenant where there are several: each adds signed lines to the tokens of accounts."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant by its id."""

    name: str
    districts: tuple[str, ...] = ()
    """Ids of its districts; empty for every district."""

    def __post_init__(self) -> None:
        """Refuse what is no id."""
        require_id(self.name, "tenant")
        for district in self.districts:
            require_id(district, "district")

    @property
    def account(self) -> str:
        """The name of the account of its devices."""
        return f"DEVICES-{self.name}"

    @property
    def api(self) -> str:
        """The name, among the services, of what is asked of JetStream in that account."""
        return f"$JS.devices{self._suffix}.API"

    @property
    def ensure_user(self) -> str:
        """The user that declares streams in that account."""
        return f"ensure-devices{self._suffix}"

    @property
    def remove_user(self) -> str:
        """The user that deletes streams in that account when the tenant leaves; no city has it otherwise."""
        return f"remove-devices{self._suffix}"

    @property
    def places(self) -> tuple[str, ...]:
        """What stands in a subject for its districts."""
        return self.districts or (subjects.ANY,)

    def durable(self, durable: Durable) -> Durable:
        """Return a durable behind the MQTT listener as it is named for this tenant: unique among all of a city."""
        return replace(durable, name=f"{durable.name}{self._suffix}")

    @property
    def _suffix(self) -> str:
        return "" if self.name == CITY else f"-{self.name}"


ALONE = (Tenant(CITY),)
"""The tenants of a city that declares none."""


def require_apart(tenants: Sequence[Tenant]) -> None:
    """Refuse tenants of which two would have the same districts, and a city without the tenant that every city has."""
    names = [tenant.name for tenant in tenants]
    districts = [district for tenant in tenants for district in tenant.districts]
    problem = ""
    if CITY not in names or len(set(names)) < len(names) or len(tenants) > TENANTS_MAX:
        problem = f"a city has 1 to {TENANTS_MAX} tenants, each once, and {CITY!r} is one of them"
    elif len(tenants) > 1 and not all(tenant.districts for tenant in tenants):
        problem = "where there are several tenants, each names its districts"
    elif len(set(districts)) < len(districts):
        problem = "a district has one tenant"
    elif any(len(tenant.districts) > DISTRICTS_MAX for tenant in tenants):
        problem = f"a tenant names at most {DISTRICTS_MAX} districts"
    if problem:
        raise InvalidArgument(Reason.REQUEST_INVALID, problem, {"field": "tenants", "rule": "tenants.apart"})


def read_tenants(path: Path) -> tuple[Tenant, ...]:
    """Return the tenants that a file declares (JSON, districts by tenant); those of a city without it otherwise."""
    if not path.exists():
        return ALONE
    found = json.loads(path.read_text(encoding="utf-8"))
    tenants = tuple(Tenant(name, tuple(districts)) for name, districts in found.items())
    require_apart(tenants)
    return tenants


def tenants_text(tenants: Sequence[Tenant]) -> str:
    """Return what such a file says."""
    require_apart(tenants)
    return json.dumps({tenant.name: list(tenant.districts) for tenant in tenants}, indent=1) + "\n"
