"""The domains of observed properties: an attribute of the property and the last token of an observation's subject.

``PERSONAL`` is no domain of its own: readings of personal series travel under it whatever their domain, so that they
never share a message, a stream or a permission with others.
"""

from enum import StrEnum


class Domain(StrEnum):
    """What part of city life an observed property belongs to."""

    TRAFFIC = "traffic"
    LIGHT = "light"
    AIR = "air"
    NOISE = "noise"
    WATER = "water"
    PARKING = "parking"
    WASTE = "waste"
    ENERGY = "energy"
    CROWD = "crowd"
    HEALTH = "health"
    MOBILITY = "mobility"


PERSONAL = "personal"


class Retention(StrEnum):
    """How long readings of a series are kept; fixed for the life of the series."""

    WEEK = "7d"
    QUARTER = "90d"
    TWO_YEARS = "2y"
    FOREVER = "forever"


RETENTION_DAYS: dict[Retention, int | None] = {
    Retention.WEEK: 7,
    Retention.QUARTER: 90,
    Retention.TWO_YEARS: 730,
    Retention.FOREVER: None,
}
