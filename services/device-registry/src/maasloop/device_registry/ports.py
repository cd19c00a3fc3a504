"""What the handlers need of the world: a registry that changes and is read, credentials, and servers with connections."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import UUID

from maasloop.core.requests import Page, Request

from .domain.admission import Admission, Knock, Standing
from .domain.api_key import ApiKey
from .domain.catalogue import CatalogueResource
from .domain.credential import Claim, Credential, Holder, Method
from .domain.device import Device, DeviceState
from .domain.importing import ImportResult, ImportRow, RowFault
from .domain.place import BoundingBox
from .domain.refusals import Refusals, RefusedHolder
from .domain.resource import Happening, Key, Kind

type Resource = Device | CatalogueResource


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """Which devices are listed; what is unset does not matter."""

    district: str | None = None
    device_type: str | None = None
    state: DeviceState | None = None
    group: str | None = None
    bounds: BoundingBox | None = None


class Change(Protocol):
    """A transaction in which nobody else changes the registry; it commits when its block ends without an error."""

    @property
    def answered(self) -> Resource | None:
        """The answer that the same request got before."""
        ...

    async def find(self, key: Key) -> Resource | None:
        """Return a resource."""
        ...

    async def missing(self, keys: Sequence[Key]) -> Sequence[Key]:
        """Return those that do not exist."""
        ...

    async def dependants(self, gateway: Key) -> int:
        """Count the devices, not retired, that a gateway speaks for."""
        ...

    async def holders(self, external_ids: Sequence[str]) -> Mapping[str, Key]:
        """Return which devices, not retired, have these names in other systems."""
        ...

    async def save[R: Resource](self, resource: R, happening: Happening) -> R:
        """Store a resource and its event under the next revision, and return it with that."""
        ...

    async def answer[R: Resource](self, resource: R) -> R:
        """Keep the answer for the request's id, and return it."""
        ...


class ImportSession(Protocol):
    """The transaction of an import."""

    @property
    def answered(self) -> ImportResult | None:
        """The answer that the same request got before."""
        ...

    async def stage(self, rows: Sequence[ImportRow]) -> None:
        """Lay rows down where nobody sees them."""
        ...

    async def faults(self) -> tuple[Sequence[RowFault], int]:
        """Compare what is staged with itself and with the registry: the first faults, and how many there are."""
        ...

    async def store(self, happening: Happening) -> ImportResult:
        """Store what is new, with its events, and keep the answer for the request's id."""
        ...


class Registry(Protocol):
    """All resources, durable."""

    def change(self, request: Request) -> AbstractAsyncContextManager[Change]:
        """Begin a change."""
        ...

    def importing(self, district: str, request: Request) -> AbstractAsyncContextManager[ImportSession]:
        """Begin an import."""
        ...

    async def get(self, key: Key) -> Resource | None:
        """Return a resource."""
        ...

    async def list_kind(self, kind: Kind, district: str, *, after: str, limit: int) -> Page[Resource]:
        """Return resources of one kind in a district (empty for what belongs to none), ordered by id."""
        ...

    async def list_devices(self, wanted: DeviceFilter, *, after: tuple[str, str], limit: int) -> Page[Device]:
        """Return devices ordered by district and id."""
        ...


class ConnectionKey(NamedTuple):
    """What identifies a connection in a cluster."""

    server: str
    connection: int


class CredentialChange(Protocol):
    """A transaction over credentials; it commits when its block ends without an error."""

    async def lock(self, key: str) -> None:
        """Keep other changes of the same key out until it ends."""
        ...

    async def claim(self, digest: bytes) -> Claim | None:
        """Return a claim."""
        ...

    async def used_since(self, batch: UUID, since: datetime) -> int:
        """Count the claims of a batch that were used since."""
        ...

    async def use(self, claim: Claim, now: datetime) -> None:
        """Note that a claim was used."""
        ...

    async def standing(self, holder: Holder) -> Standing:
        """Return what is known of a holder."""
        ...

    async def find(self, holder: Holder, credential: str) -> Credential | None:
        """Return a credential."""
        ...

    async def put(self, credential: Credential) -> None:
        """Store a credential."""
        ...


class Credentials(Protocol):
    """Claims, credentials, and the connections that rest on them."""

    def change(self) -> AbstractAsyncContextManager[CredentialChange]:
        """Begin a change."""
        ...

    async def unregistered(self, district: str, devices: Sequence[str]) -> str:
        """Return the name of the district, or of the first of its devices, that does not exist; empty for none."""
        ...

    async def add_claims(self, claims: Sequence[Claim]) -> None:
        """Store claims, and forget some that have expired."""
        ...

    async def page(self, holder: Holder, *, after: str, limit: int) -> Page[Credential]:
        """Return credentials of a holder, ordered by id."""
        ...

    async def add_refusals(self, refused: Sequence[RefusedHolder]) -> None:
        """Add to the refusals of holders that exist; the others are dropped."""
        ...

    async def refusals(self, holder: Holder, now: datetime) -> Refusals | None:
        """Return how often clients were refused in a holder's name; none for never."""
        ...

    async def keyed(self, method: Method, proof: bytes) -> Holder | None:
        """Return the holder of a key or a certificate."""
        ...

    async def standing(self, holder: Holder, server: str) -> Standing:
        """Return what is known of a holder now; ``server`` is the one whose connections are counted."""
        ...

    async def record(self, knock: Knock, admission: Admission, now: datetime) -> None:
        """Store a connection durably; the server's id and number may have been another's before."""
        ...

    async def groundless(self, holder: Holder | None, now: datetime, limit: int) -> Sequence[ConnectionKey]:
        """Return connections whose right has ended, of one holder or of all."""
        ...

    async def recorded(self, older_than: datetime) -> Mapping[str, Sequence[int]]:
        """Return the connections that were recorded before a moment, by server."""
        ...

    async def forget(self, connections: Sequence[ConnectionKey]) -> None:
        """Remove connections that are gone."""
        ...

    async def forget_expired(self, now: datetime) -> None:
        """Remove connections that the server has closed by their expiry."""
        ...


class Closed(StrEnum):
    """What became of a connection that was to be closed."""

    GONE = "gone"
    OPEN = "open"
    SILENT = "silent"
    """The server does not answer: it is dead, or cut off."""


class Servers(Protocol):
    """The message servers on which connections live."""

    async def close(self, key: ConnectionKey) -> Closed:
        """Close a connection and return what the server says of it."""
        ...

    async def connections(self, server: str) -> frozenset[int] | None:
        """Return the connections that a server has; None if it does not answer."""
        ...


class DeviceAuthority(Protocol):
    """The authority that signs certificates of devices."""

    def sign(self, request: str, holder: Holder, now: datetime) -> tuple[str, bytes, datetime]:
        """Return the chain (PEM), the SHA-256 of the certificate, and its end; refuses a bad request."""
        ...


class CommandKeys(Protocol):
    """The public keys of commands."""

    def jwk_set(self) -> str:
        """Return them as a JWK Set; raises ``FailedPrecondition`` where there are none."""
        ...


class ApiKeys(Protocol):
    """Keys of programs."""

    async def add(self, key: ApiKey) -> None:
        """Store a new key."""
        ...

    async def find(self, key_id: str) -> ApiKey | None:
        """Return a key by its id."""
        ...

    async def with_digest(self, digest: bytes) -> ApiKey | None:
        """Return the key of a secret."""
        ...

    async def page(self, *, after: str, limit: int) -> Page[ApiKey]:
        """Return keys ordered by id."""
        ...

    async def end(self, key: ApiKey) -> None:
        """Store when a key was revoked; the first time counts."""
        ...


class TokenGiver(Protocol):
    """Signs tokens for programs."""

    def token(self, key: ApiKey, *, most_s: int) -> tuple[str, int]:
        """Return a token and the seconds that it lives, ``most_s`` at most."""
        ...


class RevocationLog(Protocol):
    """Tells every service whose tokens are refused."""

    async def revoke(self, kind: str, name: str) -> None:
        """Refuse all tokens of a name; again is the same."""
        ...

    async def reinstate(self, kind: str, name: str) -> None:
        """Believe tokens of a name again."""
        ...
