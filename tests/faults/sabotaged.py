"""timeseries with a fault built in, for the lanes that must fail: ``MAASLOOP_FAULTS_SABOTAGE`` names it.

Only this module reads the variables, and only the fault lanes start this module in place of the service.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from maasloop.core import errors
from maasloop.runtime import leases
from maasloop.runtime.entry import entry
from maasloop.timeseries import app
from maasloop.timeseries.adapters.postgres_rows import PostgresRowStore, PostgresRowTransaction
from maasloop.timeseries.domain.custody import Terms
from maasloop.timeseries.entrypoints.stream import Writer
from maasloop.timeseries.handlers.store_observations import StoreObservations
from maasloop.timeseries.ports.rows import Conflict
from maasloop.timeseries.ports.writing import Account, Lot
from maasloop.timeseries.settings import TimeseriesSettings

VARIABLE = "MAASLOOP_FAULTS_SABOTAGE"
END = "MAASLOOP_FAULTS_END"
"""Names a file: while it is there, the process ends as by kill -9 between the rows of a lot and their commit."""
NONE = "none"
ACKNOWLEDGED_EARLY = "acknowledged before the commit"
POSITION_EARLY = "position before the rows"
STALE_OWNER = "stale owner"
UNFENCED_WRITER = "unfenced writer"

BEFORE_COMMIT_S = 0.3
"""Time between the rows and their commit, with and without a fault, so that any kill finds its way in between."""
_SHORT = leases.Terms(renew_s=0.5, held_s=2.0, free_s=3.0)


def _end_if_told() -> None:
    told = Path(os.environ.get(END, ""))
    if told.is_file():
        told.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def end_between() -> None:
    """Wait before each commit of rows, and end there when told so; no fault by itself."""
    whole = PostgresRowTransaction.settle

    async def settle(
        self: PostgresRowTransaction, lot: Lot, terms: Mapping[Account, Terms], conflicts: Sequence[Conflict]
    ) -> None:
        await whole(self, lot, terms, conflicts)
        if terms:
            _end_if_told()
            await asyncio.sleep(BEFORE_COMMIT_S)

    PostgresRowTransaction.settle = settle  # type: ignore[method-assign]  # where the fault is put


def early_acknowledgement() -> None:
    """Tell the broker before the commit."""
    end_between()
    vars(app)["Writer"] = partial(Writer, acknowledge_early=True)


def early_position() -> None:
    """Commit positions in a transaction of their own, before the rows."""
    end_between()
    vars(app)["StoreObservations"] = partial(StoreObservations, positions_early=True)


class _Stubborn(leases.Lease):
    """A lease that ends soon and whose holder never notices: only the fence can stop what he still does."""

    async def keep(self) -> None:
        """Renew it for ever."""
        while True:
            await asyncio.sleep(_SHORT.renew_s)
            with contextlib.suppress(errors.Conflict, errors.Retryable):
                await self.renew()


def stale_owner() -> None:
    """Never notice that the lease went to somebody else; no fault while there is a fence."""
    vars(app)["Lease"] = partial(_Stubborn, terms=_SHORT)


def _without_fence(*arguments: Any, fence: object, **named: Any) -> PostgresRowStore:  # noqa: ANN401 - of the store
    return PostgresRowStore(*arguments, fence=None, **named)


def unfenced_writer() -> None:
    """Never notice it, and write without the fence."""
    stale_owner()
    vars(app)["PostgresRowStore"] = _without_fence


SABOTAGES: dict[str, Callable[[], None]] = {
    NONE: end_between,
    ACKNOWLEDGED_EARLY: early_acknowledgement,
    POSITION_EARLY: early_position,
    STALE_OWNER: stale_owner,
    UNFENCED_WRITER: unfenced_writer,
}

if __name__ == "__main__":
    SABOTAGES[os.environ[VARIABLE]]()
    sys.exit(entry(TimeseriesSettings, app.assemble, package=app.PACKAGE))
