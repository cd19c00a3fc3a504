"""What every reader of rows does: take a connection, say what a failure means, and view bytes as a column."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import errors
from psycopg import sql as composed

from maasloop.core.errors import ResourceExhausted
from maasloop.core.reasons import Reason
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import STATEMENT_TIMEOUT_MS, Connection, Pool
from maasloop.timeseries.ports.reading import Selection

from . import sql_reads as sql

RETRY_AFTER_S = 5.0
_EPOCH_SHIFT_US = 946_684_800_000_000
"""Microseconds from 1970 to 2000, PostgreSQL's epoch."""


@asynccontextmanager
async def reading(pool: Pool) -> AsyncIterator[Connection]:
    """Give a connection; a statement that takes too long is the caller's to make smaller (RANGE_TOO_LONG).

    Each statement is a transaction of its own, which saves the trips of its begin and its end.
    """
    with translated():
        async with pool.connection() as connection:
            await connection.set_autocommit(True)
            try:
                yield connection
            except errors.QueryCanceled as error:
                limit_s = STATEMENT_TIMEOUT_MS / 1_000
                message = f"the database worked on it for {limit_s:g} s: ask for a shorter range or fewer series"
                metadata = {"limit": f"{limit_s:g} s", "hint": "a shorter range or fewer series"}
                raise ResourceExhausted(
                    Reason.RANGE_TOO_LONG, message, metadata, retry_after_s=RETRY_AFTER_S
                ) from error


def chosen_by(
    statement: str, selection: Selection, *, after: tuple[str, str, int] | None, size: int
) -> tuple[bytes, dict[str, Any]]:
    """Return a statement about ``size`` chosen series after a position, and its arguments."""
    device, observed_property, number = after or ("", "", 0)
    arguments = {
        "district": selection.district,
        "devices": list(selection.devices),
        "properties": list(selection.observed_properties),
        "after_device": device,
        "after_property": observed_property,
        "after_id": number,
        "size": size,
    }
    return _choosing(statement, bool(selection.devices), bool(selection.observed_properties)), arguments


def prepared_for(selection: Selection) -> bool | None:
    """Return what psycopg is told of preparing a statement about chosen series.

    One that names devices is planned anew each time: a plan for any names may go through the district.
    """
    return False if selection.devices else None


@cache
def _choosing(statement: str, of_devices: bool, of_properties: bool) -> bytes:
    """Return a statement with what chooses its series, as text that psycopg knows again: it is parsed and planned once."""
    devices, properties = sql.OF_DEVICES if of_devices else "", sql.OF_PROPERTIES if of_properties else ""
    return statement.format(chosen=sql.CHOSEN.format(devices=devices, properties=properties)).encode()


@cache
def of_table(statement: str, table: str) -> bytes:
    """Return a statement about a table."""
    return statement.format(table=composed.Identifier(table).as_string()).encode()


def column_us(sent: bytes) -> NDArray[np.int64]:
    """Return microseconds since 1970 of a column of sent timestamps."""
    return np.frombuffer(sent, ">i8").astype(np.int64) + _EPOCH_SHIFT_US
