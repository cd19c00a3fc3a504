"""What devices are made of: observed properties, device types, districts and groups."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from maasloop.core.domains import Domain, Retention
from maasloop.core.ids import require_id

from .place import BoundingBox, require_box
from .resource import Key, Kind, etag_of, refuse, require_key

OBSERVED_PROPERTIES_MAX = 64
"""Observed properties of one device type."""


class PropertyKind(StrEnum):
    """What a result of an observation is."""

    NUMBER = "NUMBER"
    BOOLEAN = "BOOLEAN"
    STATE = "STATE"
    POSITION = "POSITION"


class Priority(StrEnum):
    """What goes first when not everything can be kept."""

    UNSPECIFIED = "UNSPECIFIED"
    HIGH = "HIGH"
    NORMAL = "NORMAL"
    LOW = "LOW"


class DistrictClock(StrEnum):
    """What moves the clock of a district."""

    WALL = "WALL"
    FIELD = "FIELD"


@dataclass(frozen=True, slots=True)
class ObservedProperty:
    """What can be observed, with its unit (UCUM), physical range and retention; all but the name is fixed for ever."""

    id: str
    display_name: str
    domain: Domain
    kind: PropertyKind
    retention: Retention
    unit: str = ""
    range_min: float | None = None
    range_max: float | None = None
    priority: Priority = Priority.UNSPECIFIED
    revision: int = 0

    @property
    def key(self) -> Key:
        """Its identity."""
        return Key(Kind.OBSERVED_PROPERTY, "", self.id)

    def references(self) -> Iterator[tuple[str, Key]]:
        """Yield what must exist before it, with the field that says so."""
        yield from ()

    def check(self) -> None:
        """Refuse what contradicts itself."""
        require_key(self.key, "observed_property_id")
        low, high = self.range_min, self.range_max
        if low is not None and high is not None and low > high:
            raise refuse("range_min", "range_min must not lie above range_max", "range.order")
        measured = self.kind is PropertyKind.NUMBER
        if not measured and (self.unit or low is not None or high is not None):
            raise refuse("unit", "only numbers have a unit and a range", "kind.number")


@dataclass(frozen=True, slots=True)
class DeviceType:
    """What a device is able to do, and what its silence means."""

    id: str
    display_name: str
    observed_properties: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    silence_after_s: float | None = None
    uplink_codec: bytes = b""
    """How radio payloads are read, as the message that travels; empty for none."""
    uplink_properties: tuple[str, ...] = ()
    """Ids of the observed properties that the codec names."""
    revision: int = 0

    @property
    def key(self) -> Key:
        """Its identity."""
        return Key(Kind.DEVICE_TYPE, "", self.id)

    @property
    def etag(self) -> str:
        """What a caller sends back to be sure that nobody came between."""
        return etag_of(self.revision)

    def references(self) -> Iterator[tuple[str, Key]]:
        """Yield what must exist before it, with the field that says so."""
        for observed in self.observed_properties:
            yield "observed_properties", Key(Kind.OBSERVED_PROPERTY, "", observed)

    def check(self) -> None:
        """Refuse what contradicts itself."""
        require_key(self.key, "device_type_id")
        if self.silence_after_s is not None and self.silence_after_s <= 0:
            raise refuse("silence_after", "silence_after must be longer than nothing", "duration.gt")
        if foreign := sorted(set(self.uplink_properties) - set(self.observed_properties)):
            sentence = f"the codec names {', '.join(foreign)}, which the type does not observe"
            raise refuse("uplink_codec", sentence, "uplink_codec.observed")


@dataclass(frozen=True, slots=True)
class District:
    """A part of the city with its own subjects, its own clock and its own partition of work."""

    id: str
    display_name: str
    bounds: BoundingBox | None = None
    clock: DistrictClock = DistrictClock.WALL
    clock_device: str = ""
    revision: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None

    @property
    def key(self) -> Key:
        """Its identity."""
        return Key(Kind.DISTRICT, "", self.id)

    @property
    def etag(self) -> str:
        """What a caller sends back to be sure that nobody came between."""
        return etag_of(self.revision)

    def references(self) -> Iterator[tuple[str, Key]]:
        """Yield what must exist before it: nothing, a clock device is created after its district."""
        yield from ()

    def check(self) -> None:
        """Refuse what contradicts itself; ``all`` stands for no district in subjects."""
        require_key(self.key, "district_id")
        if self.id == "all":
            raise refuse("district_id", "'all' stands for every district and can be none", "id.reserved")
        require_box(self.bounds, "bounds")
        if self.clock is DistrictClock.FIELD:
            if not self.clock_device:
                raise refuse("clock_device", "a field clock needs the device that moves it", "clock.device")
            require_id(self.clock_device, "clock_device")
        elif self.clock_device:
            raise refuse("clock_device", "only a field clock has a device that moves it", "clock.device")


@dataclass(frozen=True, slots=True)
class DeviceGroup:
    """Devices that are meant together, for example the lamps of a street: a name for people."""

    district: str
    id: str
    display_name: str
    revision: int = 0

    @property
    def key(self) -> Key:
        """Its identity."""
        return Key(Kind.DEVICE_GROUP, self.district, self.id)

    def references(self) -> Iterator[tuple[str, Key]]:
        """Yield what must exist before it, with the field that says so."""
        yield "parent", Key(Kind.DISTRICT, "", self.district)

    def check(self) -> None:
        """Refuse ids that are none."""
        require_key(self.key, "device_group_id")


type CatalogueResource = ObservedProperty | DeviceType | District | DeviceGroup
