"""Axes and marks as SVG: what the pictures of the bench of signal controllers are drawn with."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 960, 170, 20, 40, 46
GRID = "#ddd"
_STYLE = "text{font:12px sans-serif;fill:#222}.title{font-size:15px}.axis{fill:#555}"


@dataclass
class Axes:
    """A picture with one horizontal and one vertical scale; everything is given in their units."""

    title: str
    x: tuple[float, float]
    y: tuple[float, float]
    height: int
    marks: list[str] = field(default_factory=list)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point lies in the picture, in pixels."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), self.height - BOTTOM - up * (self.height - TOP - BOTTOM)

    def line(self, points: Sequence[tuple[float, float]], color: str, width: float = 1.5) -> None:
        """Draw a line through points."""
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.place(*point) for point in points))
        self.marks.append(f'<polyline points="{text}" fill="none" stroke="{color}" stroke-width="{width}"/>')

    def dot(self, x: float, y: float, color: str, told: str) -> None:
        """Draw a point that says what it is where a pointer rests on it."""
        across, down = self.place(x, y)
        self.marks.append(
            f'<circle cx="{across:.1f}" cy="{down:.1f}" r="4.5" fill="{color}"><title>{html.escape(told)}</title></circle>'
        )

    def bar(self, x: tuple[float, float], y: float, color: str, pixels: float) -> None:
        """Draw a bar along the horizontal, so many pixels high."""
        (left, down), (right, _) = self.place(x[0], y), self.place(x[1], y)
        self.marks.append(
            f'<rect x="{left:.1f}" y="{down - pixels / 2:.1f}" width="{max(0.5, right - left):.1f}" '
            f'height="{pixels:.1f}" fill="{color}"/>'
        )

    def ticks_x(self, values: Sequence[float], what: str) -> None:
        """Name places of the horizontal scale and what it is."""
        for value in values:
            across, bottom = self.place(value, self.y[0])
            self.marks.insert(
                0,
                f'<path d="M{across:.1f} {TOP}V{bottom:.1f}" stroke="{GRID}"/>'
                + _text(across, bottom + 16, f"{value:g}"),
            )
        self.marks.append(_text((LEFT + WIDTH - RIGHT) / 2, self.height - 8, what))

    def ticks_y(self, names: dict[float, str]) -> None:
        """Name places of the vertical scale."""
        for value, name in names.items():
            across, down = self.place(self.x[0], value)
            self.marks.insert(0, f'<path d="M{LEFT} {down:.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
            self.marks.append(_text(across - 8, down + 4, name, "end"))

    def legend(self, colors: dict[str, str]) -> None:
        """Say which colour is what, from the right of the title line."""
        across = WIDTH - RIGHT - 8.0
        for name, color in reversed(colors.items()):
            across -= 8 + 7 * len(name)
            self.marks.append(_text(across, TOP - 12, name, "start"))
            across -= 16
            self.marks.append(f'<rect x="{across:.1f}" y="{TOP - 22}" width="11" height="11" fill="{color}"/>')

    def svg(self) -> str:
        """Return the picture."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" role="img"><style>{_STYLE}</style>'
            f'<title>{html.escape(self.title)}</title><rect width="{WIDTH}" height="{self.height}" fill="#fff"/>'
            f'<text class="title" x="8" y="18">{html.escape(self.title)}</text>' + "".join(self.marks) + "</svg>\n"
        )


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text class="axis" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def round_steps(highest: float, count: int = 8) -> list[float]:
    """Return about so many round values from 0 to the highest."""
    steps = (factor * 10.0**power for power in range(-2, 6) for factor in (1, 2, 5))
    step = next(each for each in steps if each * count >= highest)
    return [number * step for number in range(int(highest / step) + 1)]
