"""What the matrix expects, written by hand and read from the table of roles as text: nothing here is the platform's code.

A method that is in none of these lists is about the district that its request names.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

TABLE = Path("libs/identity/src/maasloop/identity/roles.toml")

OWN, FOREIGN, CITY = "own", "foreign", "city"
"""Whose district, or whose data, a request names; ``city`` names all."""

SHARED = frozenset({
    "GetDeviceType", "GetDistrict", "ListDeviceTypes", "ListDistricts", "ListObservedProperties", "ListProcessingActivities",
})  # fmt: skip
"""What all districts share: a grant anywhere will do."""
CITYWIDE = frozenset({
    "CreateDeviceType", "CreateDistrict", "GenerateApiKey", "ListApiKeys", "ReinstatePrincipal", "RevokeApiKey",
    "RevokePrincipal", "GenerateNetworkServerCredential", "CreateObservedProperty", "CreateProcessingActivity",
    "UpdateDeviceType", "WatchConsent", "WatchDevices",
})  # fmt: skip
"""What names no district, and so needs a grant for all of them."""
PERSONS = frozenset({"CheckConsent", "GrantConsent", "ListConsentRecords", "ObjectToProcessing"})
"""What names the person whose data it is about."""
UNKNOWN_PERSONS = frozenset({"GetConsentRecord", "WithdrawConsent"})
"""What names a record, whose person the matrix's server does not know."""
STEP_UP = frozenset({"GrantAlertRule", "GrantApproval", "RequestApproval"})
"""What only persons may who proved a moment ago who they are."""
DOMAINS = {
    **dict.fromkeys(("IssueCommand", "SetOverride"), "light"),
    **dict.fromkeys(
        ("CreatePolicy", "GetPolicy", "GetShadowReport", "ListPolicies", "SetPolicyMode", "UpdatePolicy"), "light"
    ),
    **dict.fromkeys(("GetTravelTimes", "GrantApproval", "RequestApproval"), "traffic"),
    **dict.fromkeys(("CancelCommand", "EndOverride"), "all"),
    **dict.fromkeys(
        ("AggregateObservations", "ListLatestObservations", "ReadAggregates", "ReadObservations", "WatchObservations"),
        "all",
    ),
}
"""The domain that the matrix's request is about; ``all`` where it names none."""
ROLE_DOMAINS = {"lighting-engineer": "light", "traffic-engineer": "traffic"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a role, and whether it holds in the own district or everywhere; without a role there is no token."""

    role: str = ""
    everywhere: bool = False
    proven: bool = True
    """Whether the person proved a moment ago who they are."""

    def __str__(self) -> str:
        """Return what the report calls it."""
        if not self.role:
            return "nobody"
        return f"{self.role}{' of the city' if self.everywhere else ''}{'' if self.proven else ' of yesterday'}"


class Expectation:
    """Says which calls may succeed."""

    def __init__(self) -> None:
        """Read the table."""
        found = tomllib.loads(TABLE.read_text(encoding="utf-8"))
        self.roles = list(found["roles"])
        self._rows: dict[str, list[str]] = found["permissions"]
        self._own: dict[str, list[str]] = found["own"]

    def callers(self) -> list[Caller]:
        """Return nobody, every role in its district and in the whole city, and an administrator with an old proof."""
        known = [Caller(role, everywhere) for role in self.roles for everywhere in (False, True)]
        return [Caller(), *known, Caller("administrator", everywhere=True, proven=False)]

    def may(self, caller: Caller, method: str, permission: str, objects: str) -> bool:
        """Tell whether a call may succeed."""
        if not caller.role or (method in STEP_UP and not caller.proven):
            return False
        if method in PERSONS and objects == OWN and caller.role in self._own.get(permission, []):
            return True
        if caller.role != "administrator" and caller.role not in self._rows.get(permission, []):
            return False
        limit, domain = ROLE_DOMAINS.get(caller.role), DOMAINS.get(method)
        if limit is not None and domain is not None and domain != limit:
            return False
        if method in SHARED or caller.everywhere:
            return True
        return objects == OWN and method not in CITYWIDE | PERSONS | UNKNOWN_PERSONS
