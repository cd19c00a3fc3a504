"""Data sheets to try the kernel on: of real networks, of the crossing in ``examples``, and made up by chance."""

import math
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.site import read_site

NETWORKS = (
    "cologne1",
    "cologne3",
    "cologne8",
    "ingolstadt1",
    "ingolstadt7",
    "grid4x4",
    "examples/crossing/crossing.sumocfg",
)
ROOT = Path(__file__).parents[2]
WALKING_MPS = 1.2
type Sheet = dict[str, Any]


def of_networks() -> list[Sheet]:
    """Return the sheets of all junctions of the networks."""
    found = []
    for name in NETWORKS:
        scenario = load_scenario(str(ROOT / name) if "/" in name else name)
        found += [junction.sheet for junction in read_site(scenario).junctions]
    return found


def made_up(random: Random) -> Sheet:
    """Return a sheet of two to seven groups; of each pair of them it may be known that they fit, conflict, or nothing."""
    names = [f"g{number}" for number in range(random.randint(2, 7))]
    groups = [_group(random, name) for name in names]
    walks = {group["id"]: math.ceil(group["crossing_m"] / WALKING_MPS - 1e-6) for group in groups}
    together, conflicts, yields = [], [], []
    for pair in combinations(names, 2):
        known = random.random()
        if known < 0.35:
            together.append(list(pair))
            if random.random() < 0.4:
                yields.append(random.sample(pair, 2))
        elif known < 0.9:
            conflicts.append(list(pair))
    intergreens = [
        [one, other, max(1, walks[one]) + random.randint(0, 4)]
        for pair in conflicts
        for one, other in (pair, pair[::-1])
    ]
    longest_s = max([*walks.values(), *(row[2] for row in intergreens), *(group["all_red_s"] for group in groups)])
    steps: list[Sheet] = [{"state": "r" * len(groups), "duration_s": longest_s}]
    for at, group in enumerate(groups):
        lights = [("G", group["minimum_green_s"]), ("y", group["yellow_s"]), ("r", longest_s)]
        steps += [
            {"state": "".join(light if place == at else "r" for place in range(len(groups))), "duration_s": seconds}
            for light, seconds in lights
            if seconds
        ]
    return {
        "junction": "made-up",
        "groups": groups,
        "compatible": together,
        "conflicts": conflicts,
        "yields": yields,
        "intergreens": intergreens,
        "lanes": [_lane(group) for group in groups],
        "exits": [],
        "detectors": [],
        "local": {"offset_s": 0, "steps": steps},
    }


def _lane(group: Sheet) -> Sheet:
    speed_mps = 8.0 if group["yellow_s"] else 1.2
    return {"id": f"lane-{group['id']}", "speed_mps": speed_mps, "headway_s": 1.8, "storage_m": 80.0}


def _group(random: Random, name: str) -> Sheet:
    on_foot = random.random() < 0.2
    crossing_m = random.choice((5.0, 7.5, 12.0)) if on_foot else 0.0
    minimum_s = max(5, math.ceil(crossing_m / 2 / WALKING_MPS)) + random.randint(0, 3)
    maximum_s = minimum_s + random.randint(5, 40)
    return {
        "id": name,
        "kind": "pedestrian" if on_foot else "vehicle",
        "lanes": [f"lane-{name}"],
        "exits": [],
        "turn": "s",
        # Vehicles that share a signal with people on foot see yellow there.
        "yellow_s": random.choice((0, 0, 4)) if on_foot else random.randint(3, 5),
        "all_red_s": random.randint(1, 3),
        "minimum_green_s": minimum_s,
        "maximum_green_s": maximum_s,
        "maximum_wait_s": maximum_s + random.randint(0, 60),
        "crossing_m": crossing_m,
    }
