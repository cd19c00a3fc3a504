"""timeseries with a fault built in, for the lanes that must fail: ``MAASLOOP_FAULTS_SABOTAGE`` names it.

Only this module reads the variable, and only the fault lanes start this module in place of the service.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from maasloop.core.errors import Conflict, Retryable
from maasloop.postgres.pool import connect
from maasloop.runtime.entry import entry
from maasloop.runtime.leases import Lease, Terms
from maasloop.timeseries import app
from maasloop.timeseries.adapters.postgres_rows import PostgresRowStore, PostgresRowTransaction
from maasloop.timeseries.entrypoints.stream import Writer
from maasloop.timeseries.settings import TimeseriesSettings

VARIABLE = "MAASLOOP_FAULTS_SABOTAGE"
BEFORE_COMMIT_S = 0.4
"""Time between the rows and their commit, with and without a fault, so that a kill finds its way in between."""


_SHORT = Terms(renew_s=0.5, held_s=2.0, free_s=3.0)


async def _linger() -> None:
    await asyncio.sleep(BEFORE_COMMIT_S)


def slow_commit() -> None:
    """Wait before each commit; no fault by itself."""
    vars(app)["PostgresRowStore"] = partial(PostgresRowStore, before_commit=_linger)


def early_acknowledgement() -> None:
    """Tell the broker before the commit."""
    slow_commit()
    vars(app)["Writer"] = partial(Writer, acknowledge_early=True)


def early_position() -> None:
    """Commit position and balance in a transaction of their own, before the rows."""
    slow_commit()
    whole = PostgresRowTransaction.settle
    dsn = TimeseriesSettings.load().postgres_dsn.get_secret_value()

    async def settle(self: Any, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - whatever the writer hands over
        inside = self._cursor
        async with await connect(dsn, name="sabotage") as connection:
            await connection.set_autocommit(True)
            async with connection.cursor() as own:
                self._cursor = own
                try:
                    await whole(self, *arguments, **named)
                finally:
                    self._cursor = inside

    PostgresRowTransaction.settle = settle  # type: ignore[method-assign]


class _Stubborn(Lease):
    """A lease that ends soon and whose holder never notices: only the fence can stop what he still does."""

    async def keep(self) -> None:
        """Renew it for ever."""
        while True:
            await asyncio.sleep(_SHORT.renew_s)
            with contextlib.suppress(Conflict, Retryable):
                await self.renew()


def stale_owner() -> None:
    """Never notice that the lease went to somebody else; no fault while there is a fence."""
    vars(app)["Lease"] = partial(_Stubborn, terms=_SHORT)


SABOTAGES: dict[str, Callable[[], None]] = {
    "none": slow_commit,
    "acknowledged before the commit": early_acknowledgement,
    "position before the rows": early_position,
    "stale owner": stale_owner,
}

if __name__ == "__main__":
    SABOTAGES[os.environ[VARIABLE]]()
    sys.exit(entry(TimeseriesSettings, app.assemble, package=app.PACKAGE))
