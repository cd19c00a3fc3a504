"""The catalogue of the demo: what is observed, and what kinds of devices stand in the street."""

from maasloop.api.device.v1.device_pb2 import DeviceType, ObservedProperty
from maasloop.core.domains import Domain, Retention

_NUMBER = ObservedProperty.Kind.KIND_NUMBER
_BOOLEAN = ObservedProperty.Kind.KIND_BOOLEAN
_STATE = ObservedProperty.Kind.KIND_STATE
_POSITION = ObservedProperty.Kind.KIND_POSITION

STREET_SECOND = "street-second"
SENT_DOMAINS: tuple[Domain, ...] = tuple(Domain)


def readings_sent(domain: Domain) -> str:
    """Return the observed property that announces how many readings of a domain were sent for a second."""
    return f"readings-sent-{domain}"


def _number(name: str, domain: Domain, unit: str, low: float, high: float, retention: Retention) -> ObservedProperty:
    return ObservedProperty(
        name=name,
        display_name=name.replace("-", " ").capitalize(),
        domain=domain,
        kind=_NUMBER,
        unit=unit,
        range_min=low,
        range_max=high,
        retention=retention,
        priority=_priority(name),
    )


def _other(name: str, domain: Domain, kind: ObservedProperty.Kind.ValueType, retention: Retention) -> ObservedProperty:
    display_name = name.replace("-", " ").capitalize()
    return ObservedProperty(
        name=name,
        display_name=display_name,
        domain=domain,
        kind=kind,
        retention=retention,
        priority=_priority(name),
    )


SIGNAL_CHANGES = tuple(f"signal-change-{what}" for what in ("earliest", "likely", "latest", "confidence"))
"""Seconds to the next change of each signal group, and the chance in percent."""
ESTIMATED = (*SIGNAL_CHANGES, "queue-length", "travel-time")
"""What actuation observes, and no device of the street."""
SITE_STATES = ("signal-plan", "signal-bands", "controller-mode", "controller-state")
SITE_RECORDS = ("controller-status", "alarm")
"""What else actuation knows of a controller that speaks RSMP."""
_HIGH = frozenset({STREET_SECOND, "signal-state", "rain-intensity"})
"""Kept longest under pressure: what the street is led by, and what warns."""
_LOW = frozenset({"bay-occupied", "fill-level", "people-count", *SIGNAL_CHANGES})
"""Goes first: tomorrow's figures serve as well, and so do the next second's."""


def _priority(name: str) -> ObservedProperty.Priority.ValueType:
    if name in _HIGH:
        return ObservedProperty.PRIORITY_HIGH
    return ObservedProperty.PRIORITY_LOW if name in _LOW else ObservedProperty.PRIORITY_NORMAL


OBSERVED_PROPERTIES: tuple[ObservedProperty, ...] = (
    _number("vehicle-count", Domain.TRAFFIC, "1", 0, 100, Retention.WEEK),
    _number("occupancy", Domain.TRAFFIC, "1", 0, 1, Retention.WEEK),
    _other("signal-state", Domain.TRAFFIC, _STATE, Retention.WEEK),
    *(_other(name, Domain.TRAFFIC, _STATE, Retention.QUARTER) for name in SITE_STATES),
    *(_other(name, Domain.TRAFFIC, _STATE, Retention.TWO_YEARS) for name in SITE_RECORDS),
    *(_other(name, Domain.TRAFFIC, _STATE, Retention.WEEK) for name in SIGNAL_CHANGES),
    _number("queue-length", Domain.TRAFFIC, "1", 0, 1000, Retention.QUARTER),
    _number("travel-time", Domain.TRAFFIC, "s", 0, 86_400, Retention.QUARTER),
    _number(STREET_SECOND, Domain.TRAFFIC, "s", 0, 1e11, Retention.WEEK),
    *(_number(readings_sent(domain), Domain.TRAFFIC, "1", 0, 1e7, Retention.WEEK) for domain in SENT_DOMAINS),
    _other("presence", Domain.MOBILITY, _BOOLEAN, Retention.QUARTER),
    _number("power", Domain.ENERGY, "W", 0, 2000, Retention.TWO_YEARS),
    _number("light-level", Domain.LIGHT, "%", 0, 100, Retention.QUARTER),
    _number("illuminance", Domain.LIGHT, "lx", 0, 200_000, Retention.QUARTER),
    _number("pm25", Domain.AIR, "ug/m3", 0, 2000, Retention.TWO_YEARS),
    _number("no2", Domain.AIR, "ug/m3", 0, 2000, Retention.TWO_YEARS),
    _number("temperature", Domain.AIR, "Cel", -60, 80, Retention.TWO_YEARS),
    _number("noise-level", Domain.NOISE, "dB", 0, 160, Retention.QUARTER),
    _number("rain-intensity", Domain.WATER, "mm/h", 0, 500, Retention.TWO_YEARS),
    _other("bay-occupied", Domain.PARKING, _BOOLEAN, Retention.QUARTER),
    _number("fill-level", Domain.WASTE, "%", 0, 100, Retention.QUARTER),
    _number("heart-rate", Domain.HEALTH, "/min", 20, 260, Retention.WEEK),
    _other("position", Domain.MOBILITY, _POSITION, Retention.WEEK),
    _number("people-count", Domain.CROWD, "1", 0, 100_000, Retention.QUARTER),
)
DOMAIN_OF: dict[str, Domain] = {one.name: Domain(one.domain) for one in OBSERVED_PROPERTIES}
UNIT_OF: dict[str, str] = {one.name: one.unit for one in OBSERVED_PROPERTIES if one.unit}


def _type(name: str, *properties: str, capability: DeviceType.Capability.ValueType | None = None) -> DeviceType:
    return DeviceType(
        name=name,
        display_name=name.replace("-", " ").capitalize(),
        observed_properties=[f"observedProperties/{one}" for one in properties],
        capabilities=[] if capability is None else [capability],
    )


DEVICE_TYPES: tuple[DeviceType, ...] = (
    _type("street-clock", STREET_SECOND, *(readings_sent(domain) for domain in SENT_DOMAINS)),
    _type(
        "signal-controller",
        "signal-state",
        *SIGNAL_CHANGES,
        capability=DeviceType.Capability.CAPABILITY_SIGNAL_SEQUENCE,
    ),
    _type(
        "rsmp-signal-controller",
        "signal-state",
        *SITE_STATES,
        *SITE_RECORDS,
        *SIGNAL_CHANGES,
        capability=DeviceType.Capability.CAPABILITY_SIGNAL_PLAN,
    ),
    _type("detector-unit"),
    _type("induction-loop", "vehicle-count", "occupancy", "queue-length", "travel-time"),
    _type("streetlight", "power", "light-level", "presence", capability=DeviceType.Capability.CAPABILITY_LIGHT_LEVEL),
    _type("street-cabinet"),
    _type("light-sensor", "illuminance"),
    _type("air-station", "pm25", "no2", "temperature"),
    _type("noise-station", "noise-level"),
    _type("rain-gauge", "rain-intensity"),
    _type("parking-bay", "bay-occupied"),
    _type("waste-container", "fill-level"),
    _type("people-counter", "people-count"),
    _type("bike-sensor", "pm25", "position"),
    _type("wearable", "heart-rate"),
)
