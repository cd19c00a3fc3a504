"""Rows as the database holds them: read with SQL as anybody may, not through the service that wrote them."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import LiteralString

from maasloop.core.clock import from_us
from maasloop.postgres.once import connect_once
from maasloop.twin.devices.readings import Reading
from maasloop.twin.play.catalogue import ESTIMATED

_COUNT = """
    WITH sent AS (
        SELECT id FROM series WHERE district = %(district)s
            AND observed_property <> ALL(%(estimated)s) AND device <> ALL(%(sites)s)
    )
    SELECT (SELECT count(*) FROM numbers JOIN sent ON sent.id = numbers.series)
         + (SELECT count(*) FROM states JOIN sent ON sent.id = states.series)
         + (SELECT count(*) FROM positions JOIN sent ON sent.id = positions.series)
"""
_FIND = """
    SELECT count(*) FROM numbers JOIN series ON series.id = numbers.series
    WHERE district = %(district)s AND device = %(device)s AND observed_property = %(observed_property)s
      AND time = %(time)s AND value = %(value)s
"""
_VERSIONS = """
    SELECT current_setting('server_version'), extversion FROM pg_extension WHERE extname = 'timescaledb'
"""


class Rows:
    """The tables of timeseries for one district; use ``timeseries``' own connection string."""

    def __init__(self, dsn: str, district: str, sites: Collection[str] = ()) -> None:
        """Connect at every question. ``sites`` are devices of which a driver tells, and no door of the street."""
        self._dsn = dsn
        self._district = district
        self._sites = list(sites)

    async def count(self) -> int:
        """Return how many rows of numbers, states and positions there are of what the street sent."""
        asked = {"district": self._district, "estimated": list(ESTIMATED), "sites": self._sites}
        return int(str((await self._ask(_COUNT, asked))[0]))

    async def holds(self, reading: Reading) -> bool:
        """Tell whether a number is a row, with its value."""
        found = await self._ask(
            _FIND,
            {
                "district": self._district,
                "device": reading.device,
                "observed_property": reading.observed_property,
                "time": from_us(reading.event_time_us),
                "value": reading.result,
            },
        )
        return bool(found[0])

    async def versions(self) -> tuple[str, str]:
        """Return the versions of PostgreSQL and TimescaleDB."""
        postgres, timescale = await self._ask(_VERSIONS, {})
        return str(postgres), str(timescale)

    async def _ask(self, statement: LiteralString, parameters: Mapping[str, object]) -> Sequence[object]:
        return await asyncio.to_thread(self._answer, statement, parameters)

    def _answer(self, statement: LiteralString, parameters: Mapping[str, object]) -> Sequence[object]:
        with connect_once(self._dsn, name="maasloop-demo") as connection:
            return connection.execute(statement, parameters).fetchone() or (0, "")
