"""What ingest knows of the registry, and what follows for one reading: its series, or a reason to refuse it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from maasloop.core.domains import PERSONAL, Domain
from maasloop.core.reasons import Reason

from .byte_layout import ByteLayout
from .cayenne_lpp import CayenneLpp

VALUE_MAX = 1.797_693_134_862_315_7e308
"""Largest finite number: a range that ends here still keeps infinity out."""


class Kind(StrEnum):
    """What a result is."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    STATE = "state"
    POSITION = "position"


class Priority(StrEnum):
    """What goes first when not everything can be kept."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class PropertyFacts:
    """An observed property."""

    domain: Domain
    kind: Kind
    unit: str
    """UCUM code, empty for words and places."""
    range_min: float
    range_max: float
    retention_us: int
    """Readings older than this are refused."""
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True)
class TypeFacts:
    """A device type."""

    observed_properties: frozenset[str]
    """Ids of the observed properties of its sensors."""
    uplink_codec: CayenneLpp | ByteLayout | None = None
    """How its radio payloads are read."""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """A device."""

    device_type: str
    active: bool
    gateway: str
    """Id of the device that speaks for it, or empty."""
    data_subject: str
    """Id of the person whose readings these are, or empty."""
    processing_activity: str
    external_ids: tuple[str, ...] = ()
    """What other systems call it."""


type Facts = PropertyFacts | TypeFacts | DeviceFacts
"""An item of the projection, by resource name."""


@dataclass(frozen=True, slots=True)
class Series:
    """Where an accepted reading belongs."""

    facts: PropertyFacts
    data_subject: str
    processing_activity: str

    @property
    def key(self) -> str:
        """Last token of the subject: the domain, or ``personal``."""
        return PERSONAL if self.data_subject else str(self.facts.domain)


@dataclass(frozen=True, slots=True)
class Named:
    """The device that another system has a name for."""

    district: str
    device: str
    uplink_codec: CayenneLpp | ByteLayout | None
    """How its radio payloads are read."""


def device_name(district: str, device: str) -> str:
    """Return the resource name of a device, without checking the ids: a malformed one is simply not known."""
    return f"districts/{district}/devices/{device}"


def resolve(known: Mapping[str, Facts], district: str, device: str, observed_property: str) -> Series | Reason:
    """Return the series of a reading, or why there is none."""
    facts = known.get(device_name(district, device))
    if not isinstance(facts, DeviceFacts):
        return Reason.DEVICE_UNKNOWN
    if not facts.active:
        return Reason.DEVICE_INACTIVE
    device_type = known.get(f"deviceTypes/{facts.device_type}")
    property_facts = known.get(f"observedProperties/{observed_property}")
    observed = isinstance(device_type, TypeFacts) and observed_property in device_type.observed_properties
    if not observed or not isinstance(property_facts, PropertyFacts):
        return Reason.PROPERTY_UNKNOWN
    return Series(property_facts, facts.data_subject, facts.processing_activity)


def speaks_for(known: Mapping[str, Facts], district: str, sender: str, device: str) -> bool:
    """Tell whether a device may report for another: itself always, others if it is their gateway."""
    if sender == device:
        return True
    facts = known.get(device_name(district, device))
    return isinstance(facts, DeviceFacts) and facts.gateway == sender
