"""What all resources of the registry share: a kind, a name, a revision."""

from enum import StrEnum
from typing import NamedTuple, Protocol

from maasloop.core.errors import Conflict, InvalidArgument, NotFound
from maasloop.core.ids import require_id
from maasloop.core.reasons import Reason


class Kind(StrEnum):
    """Kinds of resources, as they are stored."""

    DISTRICT = "district"
    OBSERVED_PROPERTY = "observed_property"
    DEVICE_TYPE = "device_type"
    DEVICE_GROUP = "device_group"
    DEVICE = "device"


COLLECTIONS: dict[Kind, str] = {
    Kind.DISTRICT: "districts",
    Kind.OBSERVED_PROPERTY: "observedProperties",
    Kind.DEVICE_TYPE: "deviceTypes",
    Kind.DEVICE_GROUP: "deviceGroups",
    Kind.DEVICE: "devices",
}


class Key(NamedTuple):
    """What identifies a resource; ``district`` is empty for what belongs to no district."""

    kind: Kind
    district: str
    id: str

    def __str__(self) -> str:
        """Return the resource name."""
        own = f"{COLLECTIONS[self.kind]}/{self.id}"
        return f"{COLLECTIONS[Kind.DISTRICT]}/{self.district}/{own}" if self.district else own


def require_key(key: Key, field: str) -> Key:
    """Return the key, or refuse ids that are none."""
    if key.district:
        require_id(key.district, "parent")
    require_id(key.id, field)
    return key


def refuse(field: str, sentence: str, rule: str) -> InvalidArgument:
    """Return the refusal of a field's value."""
    return InvalidArgument(Reason.REQUEST_INVALID, sentence, {"field": field, "rule": rule})


def etag_of(revision: int) -> str:
    """Return the etag of a revision: it changes with every change."""
    return f'"{revision}"'


class Happening(StrEnum):
    """What happened to a resource: the verb of its event."""

    REGISTERED = "registered"
    UPDATED = "updated"
    ACTIVATED = "activated"
    RETIRED = "retired"


class Revised(Protocol):
    """What has a revision."""

    @property
    def etag(self) -> str:
        """The etag of its revision."""
        ...


def unchanged[Found: Revised](kind: type[Found], found: object, key: Key, etag: str) -> Found:
    """Return what was found for a caller who wants to change it: it exists, and is what the caller has read.

    An empty etag takes it as it is.
    """
    if not isinstance(found, kind):
        raise NotFound(Reason.RESOURCE_NOT_FOUND, f"{key} does not exist", {"name": str(key)})
    if etag and etag != found.etag:
        raise Conflict(Reason.ETAG_MISMATCH, f"{key} changed meanwhile", {"etag": found.etag})
    return found
