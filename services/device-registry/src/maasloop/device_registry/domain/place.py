"""Places on the WGS 84 ellipsoid and boxes of them."""

from dataclasses import dataclass

from .resource import refuse


@dataclass(frozen=True, slots=True)
class Point:
    """A place in degrees east of Greenwich and north of the equator."""

    longitude: float
    latitude: float


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """A box of meridians and parallels, both edges included; it never crosses the antimeridian."""

    southwest: Point
    northeast: Point


def require_box(box: BoundingBox | None, field: str) -> None:
    """Refuse a box whose corners are swapped."""
    if box is None:
        return
    if box.southwest.longitude > box.northeast.longitude or box.southwest.latitude > box.northeast.latitude:
        raise refuse(field, f"the south-western corner of {field} lies north or east of the other", "box.order")
