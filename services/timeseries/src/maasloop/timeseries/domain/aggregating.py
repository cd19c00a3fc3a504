"""Where the figures of time buckets come from: the widest rollups that fit, and rows at the ends.

An hour or minute of a rollup lies whole in a bucket whose width is a multiple of it, because all of them are counted from
the same Monday. What sticks out of whole hours at the ends of a range comes from minutes, and what sticks out of those
from rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from maasloop.core.domains import RETENTION_DAYS, Retention

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 3_600 * SECOND_US
DAY_US = 86_400 * SECOND_US
ORIGIN_US = 946_857_600 * SECOND_US
"""2000-01-03T00:00:00Z, a Monday: edges of buckets are counted from here."""

MINUTES_KEPT_DAYS: dict[Retention, int | None] = {
    Retention.WEEK: 90,
    Retention.QUARTER: 730,
    Retention.TWO_YEARS: 730,
    Retention.FOREVER: None,
}
HOURS_KEPT_DAYS: dict[Retention, int | None] = {
    Retention.WEEK: 730,
    Retention.QUARTER: None,
    Retention.TWO_YEARS: None,
    Retention.FOREVER: None,
}

MINUTE_COST = 2.5
"""A minute of a rollup costs as much as this many rows: it has seven figures, a row one."""

WIDTHS_S = (
    1,
    5,
    10,
    30,
    60,
    300,
    600,
    900,
    1_800,
    3_600,
    10_800,
    21_600,
    43_200,
    86_400,
    604_800,
    2_592_000,
    31_536_000,
)
"""Widths of buckets as people name them, for hints."""


class Source(StrEnum):
    """What figures are read from; the value is the first part of the table's name."""

    ROWS = "numbers"
    MINUTES = "minutes"
    HOURS = "hours"


class Piece(NamedTuple):
    """A half-open part of a range and what it is read from."""

    source: Source
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Grid:
    """The buckets of a range: half-open, ``width_us`` wide, edges counted from ``ORIGIN_US``."""

    start_us: int
    end_us: int
    width_us: int

    @property
    def first_edge_us(self) -> int:
        """Left edge of the first bucket; it may lie before the range."""
        return self.start_us - (self.start_us - ORIGIN_US) % self.width_us

    @property
    def buckets(self) -> int:
        """Number of buckets that the range touches."""
        return -(-(self.end_us - self.first_edge_us) // self.width_us) if self.end_us > self.start_us else 0


def rows_kept_from_us(retention: Retention, now_us: int) -> int:
    """Return from when on all rows of a class are there; older ones may be gone."""
    days = RETENTION_DAYS[retention]
    return -(2**62) if days is None else now_us - days * DAY_US


def pieces(grid: Grid, rows_from_us: int, *, sparse: bool = False) -> tuple[Piece, ...]:
    """Return what to read, in order of time and without overlap.

    ``rows_from_us``: rows before it may be gone; an end of the range that no rollup covers is left out there.
    ``sparse``: so few readings that minutes would cost more than rows.
    """
    if grid.end_us <= grid.start_us:
        return ()
    if grid.width_us % MINUTE_US:
        found = _rows(grid.start_us, grid.end_us, rows_from_us)
    elif grid.width_us % HOUR_US == 0:
        found = _hours(grid.start_us, grid.end_us, rows_from_us)
    elif sparse:
        seam_us = min(_up(max(grid.start_us, rows_from_us), MINUTE_US), grid.end_us)
        if grid.start_us >= rows_from_us:
            seam_us = grid.start_us
        found = [*_minutes(grid.start_us, seam_us, rows_from_us), *_rows(seam_us, grid.end_us, rows_from_us)]
    else:
        found = _minutes(grid.start_us, grid.end_us, rows_from_us)
    return tuple(found)


def before_window(found: Sequence[Piece], open_from_us: int) -> tuple[Piece, ...]:
    """Return pieces of the same range that read no rollup that is not whole: from ``open_from_us`` on, rows."""
    made: list[Piece] = []
    hour_us = open_from_us - open_from_us % HOUR_US
    for piece in found:
        seams = {
            Source.ROWS: [(Source.ROWS, piece.end_us)],
            Source.MINUTES: [(Source.MINUTES, open_from_us), (Source.ROWS, piece.end_us)],
            Source.HOURS: [(Source.HOURS, hour_us), (Source.MINUTES, open_from_us), (Source.ROWS, piece.end_us)],
        }[piece.source]
        start_us = piece.start_us
        for source, until_us in seams:
            end_us = min(until_us, piece.end_us)
            if start_us < end_us:
                made.append(Piece(source, start_us, end_us))
                start_us = end_us
    return tuple(made)


def partials_most(grid: Grid) -> int | None:
    """Return the most rollup rows that one series can have in a grid, none where rows must be read."""
    if grid.width_us % MINUTE_US:
        return None
    unit_us = MINUTE_US if grid.width_us % HOUR_US else HOUR_US
    return (grid.end_us - grid.start_us) // unit_us + 1


def wider(grid: Grid, series: int, limit: int) -> int | None:
    """Return the narrowest usual width in seconds with at most ``limit`` buckets, none where there is no such width."""
    for width_s in WIDTHS_S:
        width_us = width_s * SECOND_US
        if width_us > grid.width_us and series * Grid(grid.start_us, grid.end_us, width_us).buckets <= limit:
            return width_s
    return None


def _hours(start_us: int, end_us: int, rows_from_us: int) -> list[Piece]:
    first_us, last_us = _up(start_us, HOUR_US), end_us - end_us % HOUR_US
    if first_us >= last_us:
        return _minutes(start_us, end_us, rows_from_us)
    return [
        *_minutes(start_us, first_us, rows_from_us),
        Piece(Source.HOURS, first_us, last_us),
        *_minutes(last_us, end_us, rows_from_us),
    ]


def _minutes(start_us: int, end_us: int, rows_from_us: int) -> list[Piece]:
    first_us, last_us = _up(start_us, MINUTE_US), end_us - end_us % MINUTE_US
    if first_us >= last_us:
        return _rows(start_us, end_us, rows_from_us)
    return [
        *_rows(start_us, first_us, rows_from_us),
        Piece(Source.MINUTES, first_us, last_us),
        *_rows(last_us, end_us, rows_from_us),
    ]


def _rows(start_us: int, end_us: int, rows_from_us: int) -> list[Piece]:
    start_us = max(start_us, rows_from_us)
    return [Piece(Source.ROWS, start_us, end_us)] if start_us < end_us else []


def _up(time_us: int, unit_us: int) -> int:
    return -(-time_us // unit_us) * unit_us
