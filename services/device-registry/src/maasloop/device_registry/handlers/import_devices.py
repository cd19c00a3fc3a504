"""Import a file of devices: all or nothing.

Rows are staged in lots as they are decoded, so that memory does not grow with the file; what can be judged row by row is
judged here, what needs the other rows or the registry by the session.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

from maasloop.core.clock import Clock
from maasloop.core.errors import MaasloopError
from maasloop.core.requests import Request
from maasloop.device_registry.domain.device import Device, DeviceState
from maasloop.device_registry.domain.importing import (
    FAULTS_NAMED_MAX,
    ROWS_MAX,
    ImportResult,
    ImportRow,
    RowFault,
    refusal,
)
from maasloop.device_registry.domain.resource import Happening
from maasloop.device_registry.ports import ImportSession, Registry

LOT_ROWS_MAX = 1_000


class ImportDevices:
    """Stores every row of a file in one transaction, or tells which rows are wrong."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        """Work on this registry."""
        self._registry = registry
        self._clock = clock

    async def __call__(
        self, district: str, rows: AsyncIterator[ImportRow | RowFault], request: Request, *, activate: bool = False
    ) -> ImportResult:
        """Import the rows; devices that exist with the same content stay as they are."""
        async with self._registry.importing(district, request) as session:
            if session.answered is not None:
                return session.answered
            found, total = await self._stage(session, district, rows, activate=activate)
            compared, more = await session.faults()
            if total + more:
                raise refusal([*found, *compared], total + more)
            return await session.store(Happening.ACTIVATED if activate else Happening.REGISTERED)

    async def _stage(
        self, session: ImportSession, district: str, rows: AsyncIterator[ImportRow | RowFault], *, activate: bool
    ) -> tuple[list[RowFault], int]:
        now = self._clock.now()
        state = DeviceState.ACTIVE if activate else DeviceState.REGISTERED
        faults: list[RowFault] = []
        total = count = 0
        lot: list[ImportRow] = []
        async for row in rows:
            judged = _judged(row, district)
            count += 1
            if count > ROWS_MAX:
                judged = RowFault(judged.row, "content", f"an import has at most {ROWS_MAX} rows")
            if isinstance(judged, RowFault):
                total += 1
                faults += [judged] if len(faults) < FAULTS_NAMED_MAX else []
                if count > ROWS_MAX:
                    break
                continue
            lot.append(ImportRow(judged.row, replace(judged.device, state=state, create_time=now, update_time=now)))
            if len(lot) == LOT_ROWS_MAX:
                await session.stage(lot)
                lot = []
        await session.stage(lot)
        return faults, total


def _judged(row: ImportRow | RowFault, district: str) -> ImportRow | RowFault:
    if isinstance(row, RowFault):
        return row
    device: Device = row.device
    if device.district != district:
        return RowFault(row.row, "name", f"{device.key} lies in another district")
    try:
        device.check()
    except MaasloopError as error:
        return RowFault(row.row, error.metadata.get("field", "name"), error.message)
    return row
