"""Who stands in the district: every device with its place, its gateway and the facts that its type does not fix."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from maasloop.twin.devices.lighting import LampPlace, place_lamps
from maasloop.twin.devices.places import ToPosition, positions_of
from maasloop.twin.devices.readings import Position
from maasloop.twin.devices.stations import numbered
from maasloop.twin.rsmp.registered import registered
from maasloop.twin.street.network import load_network
from maasloop.twin.street.site import Junction, Site

LAMPS = 400
CLOCK = "street-clock"
LIGHT_SENSOR = "daylight-01"
RAIN_GAUGE = "rain-01"
BICYCLE = "bicycle-01"
WEARABLE = "wearable-01"
ACTIVITY_AIR = "citizens-measure-air"
ACTIVITY_HEALTH = "walking-programme"


@dataclass(frozen=True)
class DeviceSpec:
    """A device as the registry shall know it."""

    id: str
    device_type: str
    position: Position
    display_name: str = ""
    groups: tuple[str, ...] = ()
    gateway: str = ""
    data_subject: str = ""
    processing_activity: str = ""
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cast:
    """The whole district."""

    district: str
    site: Site
    net: Any
    to_position: ToPosition
    lamps: tuple[LampPlace, ...]
    rider: str
    walker: str
    security_code: str = ""
    """Reference of the code that sites need."""
    detector_units: Mapping[str, str] = field(default_factory=dict)
    """Junctions that speak RSMP, each with the device that speaks for its loops."""

    air_stations: tuple[str, ...] = tuple(numbered("air", 4))
    noise_stations: tuple[str, ...] = tuple(numbered("noise", 4))
    parking_bays: tuple[str, ...] = tuple(numbered("bay", 24))
    waste_containers: tuple[str, ...] = tuple(numbered("container", 8))
    people_counters: tuple[str, ...] = tuple(numbered("square", 3))

    @property
    def cabinets(self) -> dict[str, list[LampPlace]]:
        """Return the lamps of each cabinet."""
        found: dict[str, list[LampPlace]] = {}
        for lamp in self.lamps:
            found.setdefault(lamp.cabinet, []).append(lamp)
        return found

    @property
    def streets(self) -> list[str]:
        """Return the groups of lamps."""
        return sorted({lamp.street for lamp in self.lamps})

    def site_id(self, junction: Junction) -> str:
        """Return the id that a junction has as an RSMP site, by which a supervisor tells districts apart."""
        return f"{self.district}-{junction.id}"

    def devices(self) -> Iterator[DeviceSpec]:
        """Return every device, gateways before those they speak for."""
        yield DeviceSpec(CLOCK, "street-clock", self._middle())
        for junction in self.site.junctions:
            yield from self._junction(junction)
        yield from self._lighting()
        yield from self._stations()
        yield DeviceSpec(
            BICYCLE, "bike-sensor", self._middle(), data_subject=self.rider, processing_activity=ACTIVITY_AIR
        )
        yield DeviceSpec(
            WEARABLE, "wearable", self._middle(), data_subject=self.walker, processing_activity=ACTIVITY_HEALTH
        )

    def _junction(self, junction: Junction) -> Iterator[DeviceSpec]:
        place = self.to_position(*junction.position_m)
        name = f"Junction {junction.tls}"[:200]
        unit = self.detector_units.get(junction.id)
        if unit is None:
            yield DeviceSpec(junction.id, "signal-controller", place, display_name=name, config=junction.sheet)
        else:
            config = registered(junction, self.site_id(junction), self.security_code)
            yield DeviceSpec(junction.id, "rsmp-signal-controller", place, display_name=name, config=config)
            yield DeviceSpec(unit, "detector-unit", place)
        for loop in junction.loops:
            yield DeviceSpec(loop.id, "induction-loop", place, gateway=unit or junction.id)

    def _lighting(self) -> Iterator[DeviceSpec]:
        for cabinet, lamps in self.cabinets.items():
            yield DeviceSpec(cabinet, "street-cabinet", self.to_position(lamps[0].x, lamps[0].y))
            for lamp in lamps:
                facts = lamp.facts
                config = {
                    "installed_power_w": facts.installed_power_w,
                    "standby_power_w": facts.standby_power_w,
                    "lighting_class": facts.lighting_class,
                    "class_level_percent": facts.class_level_percent,
                    "floor_percent": facts.floor_percent,
                }
                place = self.to_position(lamp.x, lamp.y)
                yield DeviceSpec(lamp.id, "streetlight", place, groups=(lamp.street,), gateway=cabinet, config=config)

    def _stations(self) -> Iterator[DeviceSpec]:
        kinds = (
            ("light-sensor", (LIGHT_SENSOR,)),
            ("rain-gauge", (RAIN_GAUGE,)),
            ("air-station", self.air_stations),
            ("noise-station", self.noise_stations),
            ("parking-bay", self.parking_bays),
            ("waste-container", self.waste_containers),
            ("people-counter", self.people_counters),
        )
        step = 0
        for device_type, ids in kinds:
            for device_id in ids:
                lamp = self.lamps[(step * 17) % len(self.lamps)]
                step += 1
                yield DeviceSpec(device_id, device_type, self.to_position(lamp.x, lamp.y))

    def _middle(self) -> Position:
        xs, ys = zip(*((lamp.x, lamp.y) for lamp in self.lamps), strict=True)
        return self.to_position(sum(xs) / len(xs), sum(ys) / len(ys))


def every_second(site: Site) -> list[str]:
    """Return every second of the junctions, in the order of their ids, whose controllers have a plan to work with."""
    return sorted(junction.id for junction in site.junctions if "bands" in junction.sheet)[1::2]


def gather_cast(
    district: str, site: Site, *, lamp_count: int = LAMPS, by_bands: Collection[str] = (), security_code: str = ""
) -> Cast:
    """Read a site's network once more and people it with lamps and stations.

    The junctions ``by_bands`` speak RSMP, with a code of which the registry is given the reference.
    """
    net = load_network(site.scenario.net)
    lamps = tuple(place_lamps(net, lamp_count))
    rider, walker = f"rider-{district}", f"walker-{district}"
    units = dict(zip(sorted(by_bands), numbered("detectors", len(by_bands)), strict=True))
    return Cast(district, site, net, positions_of(net), lamps, rider, walker, security_code, units)
