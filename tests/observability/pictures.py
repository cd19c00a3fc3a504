"""Draws what the panels of the dashboards hold, a picture a dashboard: by our own hand, where no Grafana can be had."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from tests.observability.prometheus import Line, Prometheus
from tests.observability.queries import DASHBOARDS

COLUMNS = 3
WIDTH, HEIGHT = 340, 190
LEFT, TOP, BOTTOM = 48, 30, 44
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f")
LEGENDS_MAX = 5
UNITS = {"cps": "/s", "s": " s", "percentunit": " of 1", "short": ""}


def draw_all(prometheus: Prometheus, folder: Path, seconds: int) -> None:
    """Write a picture of each dashboard into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in DASHBOARDS:
        described = json.loads(path.read_text())
        panels = [(panel, _lines(prometheus, panel, seconds)) for panel in described["panels"]]
        (folder / f"{path.stem}.svg").write_text(picture(described["title"], panels))


def picture(title: str, panels: Sequence[tuple[dict[str, Any], Mapping[str, Line]]]) -> str:
    """Return a dashboard as SVG."""
    rows = -(-len(panels) // COLUMNS)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{COLUMNS * WIDTH}" height="{rows * HEIGHT}">',
        f'<title>{escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>',
    ]
    for place, (panel, lines) in enumerate(panels):
        row, column = divmod(place, COLUMNS)
        where = f'transform="translate({column * WIDTH},{row * HEIGHT})" font-family="sans-serif" font-size="10"'
        parts.append(f"<g {where}>{_panel(panel, lines)}</g>")
    return "\n".join([*parts, "</svg>", ""])


def _lines(prometheus: Prometheus, panel: Mapping[str, Any], seconds: int) -> dict[str, Line]:
    found = {}
    for target in panel["targets"]:
        for line in prometheus.over(target["expr"], seconds, step_s=max(1, seconds // 60)):
            name = target["legendFormat"]
            for label, value in line.labels.items():
                name = name.replace("{{" + label + "}}", value)
            if line.points:
                found["none" if "{{" in name else name] = line
    return found


def _panel(panel: Mapping[str, Any], lines: Mapping[str, Line]) -> str:
    unit = UNITS[panel["fieldConfig"]["defaults"]["unit"]]
    points = [point for line in lines.values() for point in line.points]
    begin, end = min((at for at, _ in points), default=0.0), max((at for at, _ in points), default=1.0)
    highest = max((value for _, value in points), default=0.0) or 1.0
    lowest = min(0.0, min((value for _, value in points), default=0.0))
    high = HEIGHT - TOP - BOTTOM

    def place(at: float, value: float) -> str:
        x = LEFT + (WIDTH - LEFT - 12) * (at - begin) / ((end - begin) or 1.0)
        return f"{x:.0f},{TOP + high * (1 - (value - lowest) / (highest - lowest)):.0f}"

    parts = [
        f'<text x="8" y="16" font-size="12" font-weight="bold">{escape(panel["title"])}</text>',
        f'<path d="M{LEFT},{TOP}V{TOP + high}H{WIDTH - 12}" fill="none" stroke="#999"/>',
        f'<text x="{LEFT - 4}" y="{TOP + 6}" text-anchor="end">{highest:.3g}{unit}</text>',
        f'<text x="{LEFT - 4}" y="{TOP + high}" text-anchor="end">{lowest:.3g}</text>',
    ]
    x = LEFT
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(place(*point) for point in line.points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if number < LEGENDS_MAX:
            parts.append(f'<text x="{x}" y="{HEIGHT - 24}" fill="{colour}">{escape(name)}</text>')
            x += 8 + 6 * len(name)
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 10}" fill="#777">{end - begin:.0f} s</text>')
    return "".join(parts)
