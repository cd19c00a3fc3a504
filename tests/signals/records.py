"""Recomputes the figures of a run from the files that SUMO wrote; it shares no code with controller and kernel."""

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.load.figures import percentile


@dataclass(frozen=True)
class Trip:
    """One row of the trip record: what it lost against driving freely, and how long it stood."""

    delay_s: float
    wait_s: float
    stops: int
    due_s: float
    """When it was to depart, on the scenario's own clock; infinite where it never departed."""
    departed: bool


@dataclass(frozen=True)
class Trips:
    """All trips of a run."""

    rows: tuple[Trip, ...]

    @property
    def mean_delay_s(self) -> float:
        """Mean of timeLoss + departDelay over every row, those that never departed among them."""
        return sum(trip.delay_s for trip in self.rows) / len(self.rows) if self.rows else 0.0

    @property
    def mean_wait_s(self) -> float:
        """Mean standing time of a trip."""
        return sum(trip.wait_s for trip in self.rows) / len(self.rows) if self.rows else 0.0

    @property
    def p99_wait_s(self) -> float:
        """The standing time that 99 % of the trips do not exceed."""
        return percentile([trip.wait_s for trip in self.rows], 99) if self.rows else 0.0

    @property
    def max_wait_s(self) -> float:
        """The longest standing time of a trip."""
        return max((trip.wait_s for trip in self.rows), default=0.0)

    @property
    def stops(self) -> float:
        """Mean number of stops of a trip."""
        return sum(trip.stops for trip in self.rows) / len(self.rows) if self.rows else 0.0

    @property
    def not_departed(self) -> int:
        """How many never departed."""
        return sum(not trip.departed for trip in self.rows)

    def due_from(self, second_s: float) -> "Trips":
        """Return the trips that were to depart at a second of the scenario's own clock or later."""
        return Trips(tuple(trip for trip in self.rows if trip.due_s >= second_s))


def read_trips(tripinfo: Path) -> Trips:
    """Read a trip record written with unfinished and with undeparted trips."""
    rows: list[Trip] = []
    for _, row in ET.iterparse(tripinfo):  # noqa: S314 - a local file that this bench's SUMO wrote
        if row.tag != "tripinfo":
            continue
        rows.append(trip_of(row.attrib))
        row.clear()
    return Trips(tuple(rows))


def trip_of(row: Mapping[str, str]) -> Trip:
    """Read one row of a trip record."""
    departs_s = float(row.get("depart", "-1"))
    departed = departs_s >= 0.0
    held_s = max(0.0, float(row.get("departDelay", "0")))
    return Trip(
        delay_s=max(0.0, float(row.get("timeLoss", "0"))) + held_s,
        wait_s=float(row.get("waitingTime", "0")),
        stops=int(row.get("waitingCount", "0")),
        due_s=departs_s - held_s if departed else math.inf,
        departed=departed,
    )
