"""What PostgreSQL can do at best: binary COPY of bytes encoded beforehand into the same table, over one connection."""

import time

import numpy as np
from psycopg import AsyncConnection

from maasloop.postgres.copy import encode_copy, times

ROWS_A_TRANSACTION = 20_000
_COPY = 'COPY "numbers_7d" (time, receipt_time, value, series) FROM STDIN (FORMAT BINARY)'


async def copy_rows_per_s(dsn: str, *, start_us: int, series: int, seconds: int, by_series: bool) -> float:
    """Return rows a second into an empty table; each series once a street second, in time order or in series order."""
    number = np.tile(np.arange(series, dtype=np.int32), seconds)
    event_us = np.repeat(start_us + np.arange(seconds, dtype=np.int64) * 1_000_000, series)
    value = np.random.default_rng(7).random(len(number))
    if by_series:
        order = np.lexsort((event_us, number))
        number, event_us, value = number[order], event_us[order], value[order]
    lots = [
        encode_copy([times(event_us[rows]), times(event_us[rows]), value[rows], number[rows]])
        for rows in (slice(at, at + ROWS_A_TRANSACTION) for at in range(0, len(number), ROWS_A_TRANSACTION))
    ]
    async with await AsyncConnection.connect(dsn) as connection, connection.cursor() as cursor:
        await cursor.execute('TRUNCATE "numbers_7d"')
        await connection.commit()
        began_s = time.perf_counter()
        for lot in lots:
            async with cursor.copy(_COPY) as copy:
                await copy.write(lot)
            await connection.commit()
        return len(number) / (time.perf_counter() - began_s)
