"""The tenants of a city while a service runs: who leaves is asked for no more.

A file declares them (``maasloop.bus.tenants``). It is read at the start and looked at again once a second. A tenant that
it no longer names has left until the next start; one that it names for the first time is heard from the next start on,
since rights and durables are made there. A file that cannot be read changes nothing.

Tasks: ``run``, for ever.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog

from maasloop.bus.tenants import ALONE, Tenant, read_tenants
from maasloop.core.clock import Clock
from maasloop.core.errors import MaasloopError
from maasloop.telemetry.metrics import counter, gauge

LOOK_INTERVAL_S = 1.0

type Pull = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""Works until the event is set, and then finishes what it holds."""
type Lasting = Callable[[], Coroutine[Any, Any, None]]
"""Works until it is cancelled."""

_present = gauge(
    "maasloop_tenants_present", "Tenants whose devices this process asks for, that of the city among them."
)
_left = counter("maasloop_tenants_left_total", "Tenants that left while this process ran.")

log = structlog.get_logger(__name__)


class Tenancy:
    """Which tenants there are."""

    def __init__(self, file: Path | None, clock: Clock) -> None:
        """Read the file; without one a city has only its own tenant. Raises what ``read_tenants`` does."""
        self._file = file
        self._clock = clock
        self.declared = ALONE if file is None else read_tenants(file)
        """Those of the start."""
        self._gone = {tenant: asyncio.Event() for tenant in self.declared}
        _present.set(len(self.declared))

    @property
    def present(self) -> tuple[Tenant, ...]:
        """Those that have not left."""
        return tuple(tenant for tenant, gone in self._gone.items() if not gone.is_set())

    async def run(self) -> None:
        """Look at the file for ever."""
        while True:
            await self._clock.sleep(LOOK_INTERVAL_S)
            self.look()

    def look(self) -> None:
        """Notice who left."""
        if self._file is None:
            return
        try:
            names = {tenant.name for tenant in read_tenants(self._file)}
        except (OSError, ValueError, AttributeError, TypeError, MaasloopError) as error:
            log.warning("tenants_unreadable", error=str(error))
            return
        for tenant in self.present:
            if tenant.name not in names:
                self._gone[tenant].set()
                _left.inc()
                _present.set(len(self.present))
                log.info("tenant_left", tenant=tenant.name)

    def pulling(self, tenant: Tenant, pull: Pull) -> Pull:
        """Return ``pull`` as it goes on while a tenant is present; afterwards it only waits to be stopped."""

        async def pull_while_present(stop: asyncio.Event) -> None:
            ended = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(pull(ended))
                ends = [group.create_task(each.wait()) for each in (stop, self._gone[tenant])]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                for end in ends:
                    end.cancel()
                ended.set()
            await stop.wait()

        return pull_while_present

    def lasting(self, tenant: Tenant, work: Lasting) -> Lasting:
        """Return ``work`` as it lasts while a tenant is present; afterwards it only waits to be cancelled."""

        async def work_while_present() -> None:
            async with asyncio.TaskGroup() as group:
                working = group.create_task(work())
                await self._gone[tenant].wait()
                working.cancel()
            await asyncio.Event().wait()

        return work_while_present
