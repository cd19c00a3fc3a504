"""The delay of a run: what every trip lost against driving freely, the wait before it could depart counted in."""

import xml.etree.ElementTree as ET
from pathlib import Path


def mean_delay_s(tripinfo: Path) -> float:
    """Return the mean of timeLoss + departDelay in seconds over all rows, negatives as 0; 0 where nothing drove.

    The file must be written with unfinished and with undeparted trips: a run that locks would look well otherwise.
    """
    total_s, trips = 0.0, 0
    for _, element in ET.iterparse(tripinfo):  # noqa: S314 - a local file that this process's SUMO wrote
        if element.tag == "tripinfo":
            total_s += max(0.0, float(element.get("timeLoss", "0")))
            total_s += max(0.0, float(element.get("departDelay", "0")))
            trips += 1
            element.clear()
    return total_s / trips if trips else 0.0
