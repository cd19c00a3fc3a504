"""The arithmetic of the benches: percentiles, spread, slopes, and limits that are told as met or not met."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

SECONDS_AN_HOUR = 3_600.0
PERCENT = 100.0


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the smallest sample that ``percent`` of the samples do not exceed (nearest rank)."""
    if not samples:
        return math.nan
    ordered = sorted(samples)
    rank = math.ceil(percent / PERCENT * len(ordered))
    return ordered[max(rank, 1) - 1]


def latencies(name: str, samples_s: Sequence[float]) -> dict[str, float]:
    """Return p50, p99, the largest and the number of samples, in milliseconds."""
    return {
        f"{name}_p50_ms": _ms(percentile(samples_s, 50)),
        f"{name}_p99_ms": _ms(percentile(samples_s, 99)),
        f"{name}_max_ms": _ms(max(samples_s, default=math.nan)),
        f"{name}_samples": len(samples_s),
    }


def spread(values: Sequence[float], digits: int = 0) -> dict[str, float]:
    """Return median, least and largest."""
    found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, digits) if digits else round(value) for name, value in found.items()}


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of the straight line of least squares; 0 where there are too few points for one."""
    if len(at) != len(values):
        message = f"{len(at)} places for {len(values)} values"
        raise ValueError(message)
    middle = statistics.fmean(at) if at else 0.0
    width = sum((place - middle) ** 2 for place in at)
    if not width:
        return 0.0
    level = statistics.fmean(values)
    return sum((place - middle) * (value - level) for place, value in zip(at, values, strict=True)) / width


def slope_an_hour(at_s: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope an hour of values sampled at seconds."""
    return slope(at_s, values) * SECONDS_AN_HOUR


def growth_exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return b of cost = a * size**b: 0 is flat, 1 is proportional."""
    return slope([math.log(size) for size in sizes], [math.log(cost) for cost in costs])


def judged(figure: str, told: Mapping[str, Any], *, at_most: float | None = None, at_least: float | None = None) -> str:
    """Return a line that says a figure beside its limit, and whether the limit is met."""
    found = told.get(figure)
    if isinstance(found, Mapping):
        found = found.get("median")
    sign, limit = ("≤", at_most) if at_most is not None else ("≥", at_least)
    if not isinstance(found, int | float) or math.isnan(found):
        return f"{figure:44} {'not measured':>14}   {sign} {limit:,}"
    met = found <= limit if at_most is not None and limit is not None else limit is not None and found >= limit
    return f"{figure:44} {found:>14,}   {sign} {limit:,}   {'met' if met else 'NOT MET'}"


def _ms(seconds: float) -> float:
    return round(seconds * 1_000, 2)
