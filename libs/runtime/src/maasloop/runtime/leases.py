"""Leases: what only one process may do at a time, held in a JetStream KV bucket.

Who holds a lease writes it again every two seconds, each time only if the revision is still his own. He takes it for lost
when his last success began eight seconds ago; others take it when they saw the same revision for ten. Both are measured on
clocks that never step, from the safe side: the holder counts from before he sent, the others from after they heard. So two
never hold it by their own view, whatever stops in between. What a process does with what it believed a moment ago is not
ruled out by any lease: the revision is a **fence**, and a store that has seen a higher one refuses a lower one.

A process that ended is proven dead by others on the same machine, who then need not wait. What is lost with the broker's
disk is no proof: two may then hold the same lease until one of them renews it, and the fence alone keeps them apart.

Tasks: none of its own; the holder runs ``keep``.
"""

import asyncio
import base64
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Self

import structlog

from maasloop.bus.connection import EXPECTED_REVISION, Bus
from maasloop.bus.streams import LEASES
from maasloop.core.clock import Clock
from maasloop.core.errors import Conflict, Retryable, Unavailable
from maasloop.core.reasons import Reason

_NO_MESSAGE = 10037
"""JetStream error code: no message found."""
_STAT_STATE, _STAT_STARTED = 0, 19
"""Places in ``/proc/{pid}/stat`` behind the name."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a lease lasts."""

    renew_s: float = 2.0
    held_s: float = 8.0
    """After so long without a renewal its holder takes it for lost."""
    free_s: float = 10.0
    """After so long without a change others take it; more than ``held_s``."""
    look_s: float = 0.5
    """How often those who wait look at it."""


TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease: one process, and never another one."""

    id: str
    machine: str = ""
    """This run of the machine's kernel; empty where nothing is known of it."""
    processes: str = ""
    """The name space in which ``process`` is a number."""
    process: int = 0
    started: str = ""
    """When the process began, in the kernel's own count."""

    @classmethod
    def this(cls) -> Self:
        """Return this process."""
        try:
            machine = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            return cls(secrets.token_hex(8), machine, _processes(), os.getpid(), _started(os.getpid()) or "")
        except OSError:
            return cls(secrets.token_hex(8))

    def saw_end_of(self, other: "Holder") -> bool:
        """Tell whether another holder has certainly ended, as far as it can be told from here."""
        if not other.machine or not other.started or other.machine != self.machine:
            return False
        return other.processes == self.processes and _started(other.process) != other.started


class _Found(NamedTuple):
    """What stands in the bucket."""

    revision: int
    holder: Holder | None
    """Nothing where it was given up."""


class Lease:
    """One lease, as one process sees it."""

    def __init__(
        self, bus: Bus, subject: str, clock: Clock, *, holder: Holder | None = None, terms: Terms = TERMS
    ) -> None:
        """``subject`` comes from ``maasloop.bus.subjects.lease``."""
        self._bus = bus
        self._subject = subject
        self._clock = clock
        self._holder = holder or Holder.this()
        self._terms = terms
        self._revision = 0
        self._until_s = -1.0

    @property
    def held(self) -> bool:
        """Tell whether it is ours at this moment; no later one is promised."""
        return self._clock.monotonic_s() < self._until_s

    async def take(self) -> int:
        """Wait until it is ours, and return its revision, higher than that of every holder before."""
        seen, seen_s, told = -1, 0.0, ""
        while True:
            try:
                found = await self._read()
                if found.revision != seen:
                    seen, seen_s = found.revision, self._clock.monotonic_s()
                    log.debug("lease_seen", lease=self._subject, revision=seen)
                if self._free(found) or self._clock.monotonic_s() - seen_s >= self._terms.free_s:
                    await self._write(found.revision, self._holder)
                    log.info("lease_taken", lease=self._subject, revision=self._revision)
                    return self._revision
            except (Conflict, Retryable) as error:
                if error.message != told:
                    told = error.message
                    log.info("lease_awaited", lease=self._subject, reason=told)
            await self._clock.sleep(self._terms.look_s)

    async def keep(self) -> None:
        """Renew it until it is lost; returns then, when ``held`` is false."""
        while self.held:
            await self._clock.sleep(min(self._terms.renew_s, max(self._until_s - self._clock.monotonic_s(), 0.0)))
            try:
                await self.renew()
            except Conflict as error:
                self._until_s = -1.0
                log.warning("lease_lost", lease=self._subject, reason=error.message)
            except Retryable as error:
                log.warning("lease_not_renewed", lease=self._subject, reason=error.message)

    async def renew(self) -> int:
        """Prove that it is ours, and return its revision; raises ``Conflict`` (LEASE_LOST) where it is not."""
        left_s = self._until_s - self._clock.monotonic_s()
        if left_s <= 0:
            raise Conflict(Reason.LEASE_LOST, "it was not renewed in time")
        try:
            async with asyncio.timeout(left_s):
                await self._write_over(self._holder)
        except TimeoutError as error:
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, "no answer in time", {"neighbour": "nats"}) from error
        return self._revision

    async def give_up(self) -> None:
        """Let others have it at once, if the broker answers; whoever calls this has stopped to use it."""
        if not self.held:
            return
        self._until_s, left_s = -1.0, self._until_s - self._clock.monotonic_s()
        try:
            async with asyncio.timeout(min(left_s, self._terms.renew_s)):
                await self._write_over(None)
        except (Conflict, Retryable, TimeoutError) as error:
            log.info("lease_runs_out", lease=self._subject, reason=str(error))

    def _free(self, found: _Found) -> bool:
        holder = found.holder
        return holder is None or holder.id == self._holder.id or self._holder.saw_end_of(holder)

    async def _read(self) -> _Found:
        answer = await self._bus.api(f"STREAM.MSG.GET.{LEASES.name}", {"last_by_subj": self._subject})
        error: Mapping[str, object] = answer.get("error", {})
        if error.get("err_code") == _NO_MESSAGE:
            return _Found(0, None)
        if error:
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, str(error.get("description")), {"neighbour": "nats"})
        return _Found(answer["message"]["seq"], _parsed(answer["message"].get("data", "")))

    async def _write_over(self, holder: Holder | None) -> None:
        """Write over what this process wrote last."""
        try:
            await self._write(self._revision, holder)
        except Conflict:
            found = await self._read()
            if found.holder is None or found.holder.id != self._holder.id:
                raise Conflict(Reason.LEASE_LOST, "another process holds it") from None
            # The answer to a renewal was lost.
            await self._write(found.revision, holder)

    async def _write(self, revision: int, holder: Holder | None) -> None:
        """Write who holds it, if the revision is still this one."""
        began_s = self._clock.monotonic_s()
        headers = {EXPECTED_REVISION: str(revision), "Nats-Msg-Id": secrets.token_hex(16)}
        body = json.dumps(asdict(holder)).encode() if holder is not None else b""
        self._revision = await self._bus.publish(self._subject, body, headers)
        if holder is not None:
            self._until_s = began_s + self._terms.held_s


def _parsed(data: str) -> Holder | None:
    """Return who holds it; what cannot be read is somebody who is not known."""
    body = base64.b64decode(data)
    if not body:
        return None
    try:
        return Holder(**json.loads(body))
    except (TypeError, ValueError):
        return Holder("unknown")


def _processes() -> str:
    return str(Path("/proc/self/ns/pid").readlink())


def _started(process: int) -> str | None:
    """Return when a process began, nothing where it has ended."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(") ")[2].split()
    return None if fields[_STAT_STATE] in "ZX" else fields[_STAT_STARTED]
