"""People and programs at the doors of a service: whose tokens are believed, and what they may.

Tokens come from the city's identity provider (people) and from the registry (programs); both are optional, and without
either the doors are open to certificates alone. Every token is held against the revocations that are known.

Tasks: ``Access.tasks``, for ever.
"""

import tomllib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from maasloop.bus.connection import Bus
from maasloop.core.clock import Clock
from maasloop.identity.principals import Principal
from maasloop.identity.provider import fetching
from maasloop.identity.remembering import Remembering
from maasloop.identity.roles import Roles
from maasloop.identity.token_keys import FileKeys, ProviderKeys
from maasloop.identity.tokens import (
    AUDIENCE,
    OWN_ALGORITHM,
    OWN_ISSUER,
    PROVIDER_ALGORITHMS,
    GroupGrant,
    Issuers,
    People,
    Programs,
    Verifier,
    grant_of,
)
from maasloop.rpc.authorization import Places, RoleAuthorizer, nowhere
from maasloop.rpc.sessions import Sessions
from maasloop.rpc.step_up import StepUp

from .revocations import Revocations

GRANTS_FILE_BYTES_MAX = 1024 * 1024


class AccessSettings(BaseModel):
    """Who may come without a certificate of the platform."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    provider_issuer: str = ""
    """Issuer of the identity provider of the city's people (OpenID Connect), ``https://…``; empty lets no person in."""
    provider_audience: str = AUDIENCE
    """Audience that an access token of the provider must name."""
    provider_ca_file: Path | None = None
    """PEM file of the authority that vouches for the provider; none means those that the machine trusts."""
    groups_claim: str = "groups"
    """Claim of an access token that lists the groups of a person."""
    data_subject_claim: str = "data_subject"
    """Claim that holds the key under which a citizen's own data is kept."""
    grants_file: Path | None = None
    """TOML file of what groups may: ``[[grant]]`` with ``group``, ``role``, and optionally ``districts``, ``domains``."""
    program_keys_file: Path | None = None
    """File of the registry's public keys (JWK set), by which tokens of programs are checked; none lets no program in."""
    step_up_max_age_s: int = Field(default=300, ge=10, le=86_400)
    """Seconds since a person proved who they are, at most, for calls that want a fresh proof (RFC 9470)."""
    step_up_acr: str = ""
    """Value that the claim `acr` must have for such calls; empty takes every kind of proof."""
    sessions_max: int = Field(default=1_024, gt=0)
    """Calls of people and programs that may run at once."""


class AccessTokens:
    """Checks tokens, against revocations too."""

    def __init__(self, issuers: Remembering, revocations: Revocations, sessions: Sessions) -> None:
        """Believe what all three let through."""
        self._issuers = issuers
        self._revocations = revocations
        self._sessions = sessions

    async def principal(self, bearer: str) -> Principal:
        """Return who a token stands for, or refuse it."""
        principal = await self._issuers.principal(bearer)
        self._revocations.check(principal)
        return principal

    def session(self, principal: Principal) -> AbstractAsyncContextManager[None]:
        """Run a call in the block: it ends with its token, and when its caller is revoked."""
        return self._sessions.opened(principal)


class Access:
    """What a server needs for people and programs."""

    def __init__(
        self, settings: AccessSettings, bus: Bus, clock: Clock, places: Places = nowhere, *, identified: bool = True
    ) -> None:
        """Read the files that the settings name; ``places`` tells where resources belong whose name does not.

        Where callers are not ``identified``, nobody's token is asked for and no revocation is followed.
        """
        self._identified = identified
        sessions = Sessions(clock, sessions_max=settings.sessions_max)
        self._revocations = Revocations(bus, clock, sessions)
        issuers = Remembering(Issuers(*_readers(settings, clock)).principal, clock)
        self.tokens = AccessTokens(issuers, self._revocations, sessions)
        self.step_up = StepUp(clock, settings.step_up_max_age_s, settings.step_up_acr)
        self.authorizer = RoleAuthorizer(Roles.load(), places, self.step_up)

    @property
    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What runs for ever beside the doors, by name."""
        return {"revocations": self._revocations.follow} if self._identified else {}


def read_grants(path: Path, roles: Roles) -> list[GroupGrant]:
    """Return what groups may; refuse a file that says something else."""
    text = path.read_text(encoding="utf-8")
    if len(text) > GRANTS_FILE_BYTES_MAX:
        message = f"{path} is too long for a file of grants"
        raise ValueError(message)
    found = tomllib.loads(text)
    grants = []
    for index, entry in enumerate(found.get("grant", []), start=1):
        said = dict(entry)
        group = said.pop("group", None)
        if not isinstance(group, str) or said.get("role") not in roles.table:
            message = f"{path}: grant {index} needs a group and a role of {', '.join(roles.table)}"
            raise ValueError(message)
        grants.append(GroupGrant(group, grant_of(said)))
    if found.keys() - {"grant"}:
        message = f"{path}: only [[grant]] is known"
        raise ValueError(message)
    return grants


def _readers(settings: AccessSettings, clock: Clock) -> list[People | Programs]:
    readers: list[People | Programs] = []
    if settings.provider_issuer:
        keys = ProviderKeys(settings.provider_issuer, fetching(settings.provider_ca_file), clock)
        verifier = Verifier(
            settings.provider_issuer, keys, clock, audience=settings.provider_audience, algorithms=PROVIDER_ALGORITHMS
        )
        grants = read_grants(settings.grants_file, Roles.load()) if settings.grants_file else []
        readers.append(
            People(
                verifier,
                grants,
                groups_claim=settings.groups_claim,
                data_subject_claim=settings.data_subject_claim,
            )
        )
    if settings.program_keys_file:
        verifier = Verifier(OWN_ISSUER, FileKeys(settings.program_keys_file), clock, algorithms=[OWN_ALGORITHM])
        readers.append(Programs(verifier))
    return readers
