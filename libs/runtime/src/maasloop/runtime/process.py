"""The life of a service process, from the first line of its log to its exit status.

Start: telemetry, probes, migrations, what the composition root assembles (pool, bus, handlers), doors, pulling, ready.
Stop, on SIGTERM or SIGINT: not ready, stop pulling, finish what is in flight within ``drain_s``, stop the doors, end
the eternal tasks, leave the composition root (bus drained, pool closed), flush telemetry.

Everything runs in one task group in one event loop. A task that is meant to last for ever and fails or ends, ends the
process with status 1 and is logged at once: whoever supervises us starts us again, from what is durable. A thread of
its own ends the process hard when the orderly way takes too long.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from maasloop import telemetry
from maasloop.core.clock import Clock, SystemClock
from maasloop.postgres.migrate import Migration, migrate

from .collecting import settle
from .http import HttpDoor
from .probes import Check, Note, Probes
from .settings import ServiceSettings

EXIT_MARGIN_S = 10.0
EXIT_STATUS_FORCED = 70
"""sysexits' EX_SOFTWARE: the orderly way took too long."""

_log = structlog.get_logger()


class Door(Protocol):
    """A listener: ``RpcServer``, ``HttpDoor`` or one of a service's own."""

    async def start(self) -> None:
        """Listen."""
        ...

    async def refuse(self) -> None:
        """Say not serving; what comes nevertheless is still answered."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Take nothing more, let what is in flight end within ``grace_s``; may be called twice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a composition root hands over."""

    doors: Sequence[Door] = ()
    """Listeners, started in this order and stopped in the other."""
    pulling: Mapping[str, Callable[[asyncio.Event], Awaitable[None]]] = field(default_factory=dict)
    """By name, what pulls work until the event is set and then finishes what it holds."""
    tasks: Mapping[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    """By name, what runs for ever beside it and is cancelled after doors and pulling have ended."""
    checks: Mapping[str, Check] = field(default_factory=dict)
    """By name, what must hold for the process to be ready."""
    notes: Mapping[str, Note] = field(default_factory=dict)
    """By name, what is worth knowing beside the readiness and does not speak against it."""


type Assemble[S: ServiceSettings] = Callable[[S], AbstractAsyncContextManager[Service]]


class TaskEnded(Exception):
    """A task that is meant to last for ever returned."""


def run[S: ServiceSettings](assemble: Assemble[S], settings: S, migrations: Sequence[Migration] = ()) -> int:
    """Run a service until it is told to stop, and return the exit status of its process."""
    telemetry.configure(
        settings.service,
        log_format=settings.log_format,
        log_level=settings.log_level,
        otlp_endpoint=settings.otlp_endpoint,
        otlp_metrics=settings.otlp_metrics,
        traces_per_second_max=settings.traces_per_second_max,
    )
    if settings.insecure_on_loopback:
        _log.warning("insecure_on_loopback", meaning="nobody is identified and nothing is encrypted")
    try:
        return asyncio.run(Process(assemble, settings, migrations, settle=settle).live())
    finally:
        telemetry.flush()


class Process[S: ServiceSettings]:
    """One run of a service. ``ask_stop`` begins the shutdown, as a signal does."""

    def __init__(
        self,
        assemble: Assemble[S],
        settings: S,
        migrations: Sequence[Migration] = (),
        *,
        clock: Clock | None = None,
        settle: Callable[[Clock], Awaitable[None]] | None = None,
    ) -> None:
        """``settle`` runs beside the work of a process that has nothing else to do."""
        self._assemble = assemble
        self._settings = settings
        self._migrations = migrations
        self._clock = clock or SystemClock()
        self._settle = settle
        self._stopping = asyncio.Event()
        self._main: asyncio.Task[None] | None = None
        self._last_resort = threading.Timer(2 * settings.drain_s + EXIT_MARGIN_S, _exit_hard)
        self._last_resort.daemon = True
        self.probes = Probes(self._clock)
        self.health = HttpDoor(self.probes.app, settings.health_address)

    async def live(self) -> int:
        """Live from start to stop; returns the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ask_stop, signal.Signals(number).name)
        self._main = asyncio.create_task(self._serve(), name="main")
        try:
            await self._main
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
            _log.info("stopped_before_ready")
        except Exception:
            _log.exception("process_failed", service=self._settings.service)
            return 1
        finally:
            self._last_resort.cancel()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        _log.info("process_stopped", service=self._settings.service)
        return 0

    def ask_stop(self, why: str = "asked") -> None:
        """Begin the shutdown; a second call changes nothing."""
        if self._stopping.is_set():
            return
        _log.info("process_stopping", why=why, drain_s=self._settings.drain_s)
        self._stopping.set()
        self._arm_last_resort()
        if not self.probes.started and self._main is not None:
            # It may wait for a neighbour that never comes.
            self._main.cancel()

    def _arm_last_resort(self) -> None:
        if not self._last_resort.is_alive():
            self._last_resort.start()

    async def _serve(self) -> None:
        beating = asyncio.create_task(self.probes.beat(), name="heartbeat")
        await self.health.start()
        try:
            if self._migrations and self._settings.migrate_at_start:
                await migrate(self._settings.postgres_dsn.get_secret_value(), self._migrations)
            async with self._assemble(self._settings) as service:
                await self._work(service)
        finally:
            beating.cancel()
            await self.health.stop(0)

    async def _work(self, service: Service) -> None:
        stop_pulling = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                eternal = [
                    group.create_task(self._guarded(name, work()), name=name) for name, work in service.tasks.items()
                ]
                for door in service.doors:
                    await door.start()
                pulls = [
                    group.create_task(self._guarded(name, pull(stop_pulling)), name=name)
                    for name, pull in service.pulling.items()
                ]
                if self._settle is not None:
                    eternal.append(group.create_task(self._guarded("settle", self._settle(self._clock)), name="settle"))
                self.probes.start(service.checks, service.notes)
                _log.info("process_ready", service=self._settings.service, health=self.health.address)
                await self._stopping.wait()
                await self._drain(service, stop_pulling, pulls)
                for task in eternal:
                    task.cancel()
        finally:
            for door in reversed(service.doors):
                await door.stop(0)

    async def _drain(self, service: Service, stop_pulling: asyncio.Event, pulls: list[asyncio.Task[None]]) -> None:
        started_s = self._clock.monotonic_s()
        self.probes.drain()
        for door in service.doors:
            await door.refuse()
        stop_pulling.set()
        if pulls:
            _, late = await asyncio.wait(pulls, timeout=self._settings.drain_s)
            for task in late:
                _log.warning("task_cut_short", task=task.get_name(), drain_s=self._settings.drain_s)
                task.cancel()
        left_s = self._settings.drain_s - (self._clock.monotonic_s() - started_s)
        for door in reversed(service.doors):
            await door.stop(max(left_s, 0.0))

    async def _guarded(self, name: str, work: Awaitable[None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            _log.debug("task_cancelled", task=name)
            raise
        except Exception:
            _log.exception("task_failed", task=name)
            self._arm_last_resort()
            raise
        if not self._stopping.is_set():
            _log.error("task_ended", task=name)
            self._arm_last_resort()
            message = f"{name} ended, though it is meant to last"
            raise TaskEnded(message)


def _exit_hard() -> None:
    _log.error("process_forced_to_exit")
    os._exit(EXIT_STATUS_FORCED)
