"""Which role may do what, and where: the table ``roles.toml`` and the one decision over it.

A decision takes what a call needs and the grants of its caller; it knows no contract, no clock and no neighbour. What is
not in the table is not permitted, and nothing forbids what a grant permits: there is no order in which grants are read.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from typing import Self

from .principals import Grant, Kind, Principal

ADMINISTRATOR = "administrator"
"""Holds every permission; the operator of a machine has it on the machine's own certificate."""

EVERYTHING = Grant(ADMINISTRATOR, districts=None, domains=None)

ANY: frozenset[str] = frozenset()
"""Of districts: any will do. Of domains: they do not matter."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a call needs."""

    permission: str
    districts: frozenset[str] | None = None
    """Ids of the districts that it is about; None means the whole city, ``ANY`` what all of them share."""
    domains: frozenset[str] | None = ANY
    """Domains that it is about; None means all of them."""
    data_subjects: frozenset[str] = frozenset()
    """Keys of the persons whose data it is about."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a role holds."""

    title: str
    permissions: frozenset[str]
    own: frozenset[str]
    """Permissions that hold for the caller's own data only."""
    domains: frozenset[str] | None
    """Domains beyond which the role never reaches; None means all."""


class RolesInvalid(Exception):
    """The table contradicts itself."""


@dataclass(frozen=True, slots=True)
class Roles:
    """The table, by name of the role."""

    table: Mapping[str, Role]
    permissions: frozenset[str]
    """Permissions that have a row."""

    @classmethod
    def load(cls) -> Self:
        """Read the table that is installed with this package."""
        return cls.parsed(files(__package__).joinpath("roles.toml").read_text(encoding="utf-8"))

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Read a table, or refuse one that names a role it does not have."""
        found = tomllib.loads(text)
        unknown = {role for part in ("permissions", "own") for holders in found[part].values() for role in holders}
        unknown -= found["roles"].keys()
        if unknown:
            message = f"no such role: {', '.join(sorted(unknown))}"
            raise RolesInvalid(message)
        table = {
            name: Role(
                title=settings["title"],
                permissions=_held(name, found["permissions"]),
                own=_held(name, found["own"]),
                domains=frozenset(settings["domains"]) if "domains" in settings else None,
            )
            for name, settings in found["roles"].items()
        }
        return cls(table, frozenset(found["permissions"]))

    def holders(self, permission: str) -> list[str]:
        """Return the roles that hold a permission, for whatever data, in the order of the table."""
        return [
            name
            for name, role in self.table.items()
            if name == ADMINISTRATOR or permission in role.permissions or permission in role.own
        ]

    def permits(self, principal: Principal, need: Need) -> bool:
        """Tell whether the grants of a caller hold all that a call needs."""
        grants = (EVERYTHING,) if principal.kind is Kind.OPERATOR else principal.grants
        if self._owns(grants, principal.data_subject, need):
            return True
        districts: Iterable[str | None] = (None,) if need.districts is None else (need.districts or ("",))
        domains: Iterable[str | None] = (None,) if need.domains is None else (need.domains or ("",))
        return all(
            any(self._covers(grant, need.permission, district, domain) for grant in grants)
            for district, domain in product(districts, domains)
        )

    def _owns(self, grants: Iterable[Grant], data_subject: str, need: Need) -> bool:
        """Tell whether the call is about the caller's own data alone, which is what some permissions are held for."""
        if not data_subject or need.data_subjects != {data_subject} or need.districts:
            return False
        return any(grant.role in self.table and need.permission in self.table[grant.role].own for grant in grants)

    def _covers(self, grant: Grant, permission: str, district: str | None, domain: str | None) -> bool:
        role = self.table.get(grant.role)
        if role is None or not (grant.role == ADMINISTRATOR or permission in role.permissions):
            return False
        return _within(district, grant.districts) and _within(domain, grant.domains) and _within(domain, role.domains)


def _held(role: str, table: Mapping[str, list[str]]) -> frozenset[str]:
    return frozenset(permission for permission, holders in table.items() if role in holders)


def _within(asked: str | None, granted: frozenset[str] | None) -> bool:
    """Tell whether what is asked for (None = all, empty = any) is granted (None = all)."""
    return granted is None or asked in granted or (not asked and asked is not None and bool(granted))
