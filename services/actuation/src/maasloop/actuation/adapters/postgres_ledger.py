"""The one writer: group commits of state and events, under a lease that the writing connection itself holds.

Task: ``run``. Whatever was handed over while a transaction was under way goes into the next one, so that the number of
commits follows the disk and not the load. The advisory lock of the lease belongs to the session that writes: who lost
it cannot write, and who cannot write sends nothing. After a lost connection the lease is taken anew; if another
instance had it meanwhile, our state is not the truth any more and the process ends.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from maasloop.actuation import command_traces, metrics
from maasloop.actuation.adapters import sql
from maasloop.actuation.adapters.audit_entries import audit_entries
from maasloop.actuation.adapters.decisions import message_id
from maasloop.actuation.adapters.signal_decisions import signal_decision_rows
from maasloop.actuation.domain.batch import Batch, Decision
from maasloop.actuation.domain.command import RANK, Command, State
from maasloop.actuation.domain.journal import JournalEntry
from maasloop.actuation.domain.override import Override
from maasloop.actuation.domain.setpoint_json import to_json
from maasloop.bus import subjects
from maasloop.core.clock import Clock
from maasloop.core.errors import Unavailable
from maasloop.core.reasons import Reason
from maasloop.postgres.errors import PASSING
from maasloop.postgres.pool import Connection, connect
from maasloop.runtime.outbox import OutboxRow, columns

DEFER_MAX_S = 0.05
LEASE_INTERVAL_S = 0.5
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 2.0
WAITING_COMMANDS_MAX = 50_000
"""More changes than this in memory mean that the database is gone for long; nothing more is taken."""
WAITING_SIGNAL_DECISIONS_MAX = 10_000
"""Junctions times seconds that wait for the database; of more only the newest are explained afterwards."""
CLOSE_TIMEOUT_S = 3.0

_log = structlog.get_logger()


class LeaseLost(Exception):
    """Another instance wrote meanwhile; only a restart, which restores the state, may go on."""


type Changed = Callable[[Sequence[tuple[Command, int]]], None]
"""Hears durable changes of commands, each with its place in the order of changes; must not raise."""


class Codec(Protocol):
    """Events as they travel."""

    def command_changed(self, command: Command) -> bytes:
        """Return the body of a command's event."""
        ...

    def decision_recorded(self, decision: Decision) -> bytes:
        """Return the body of a decision's event."""
        ...


@dataclass(slots=True)
class _Pending:
    batch: Batch = field(default_factory=Batch)
    waiters: list[asyncio.Future[None]] = field(default_factory=list)


class PostgresLedger:
    """Makes batches durable in the order in which they were handed over."""

    def __init__(
        self, dsn: str, codec: Codec, clock: Clock, *, audited: bool = False, name: str = "maasloop-actuation-ledger"
    ) -> None:
        """Prepare; ``open`` connects. ``audited`` writes commands into the audit log, in the same transaction."""
        self._dsn = dsn
        self._codec = codec
        self._audited = audited
        self._name = name
        self._clock = clock
        self._connection: Connection | None = None
        self._epoch = 0
        self._pending = _Pending()
        self._urgent = asyncio.Event()
        self._deferred = asyncio.Event()
        self._last_change_us = 0
        self._listeners: list[Changed] = []
        self._stuck_since_s: float | None = None

    def listen(self, listener: Changed) -> None:
        """Call the listener after every commit that changed commands."""
        self._listeners.append(listener)

    async def open(self) -> None:
        """Connect and wait for the lease, with a word in the log while another instance has it."""
        connection = await connect(self._dsn, name=self._name, autocommit=True, clock=self._clock)
        await connection.execute(sql.GENERIC_PLANS)
        waited = 0
        while not await _first(connection, sql.TRY_LEASE):
            if waited % 20 == 0:
                _log.info("lease_awaited", client=self._name)
            waited += 1
            await self._clock.sleep(LEASE_INTERVAL_S)
        epoch = int(str(await _first(connection, sql.NEXT_EPOCH)))
        if self._epoch and epoch != self._epoch + 1:
            await connection.close()
            message = f"epoch {self._epoch} was ours, {epoch} is the present one"
            raise LeaseLost(message)
        self._epoch, self._connection = epoch, connection
        _log.info("lease_taken", epoch=epoch)

    async def close(self) -> None:
        """Write what is left, within ``CLOSE_TIMEOUT_S``, and give the lease back."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if self._pending.batch:
                    await self._write_until_durable(self._take())
        except (TimeoutError, LeaseLost):
            _log.warning("ledger_closed_with_changes_left")
        if self._connection is not None:
            await self._connection.close()

    def commit(self, batch: Batch, *, urgent: bool = True) -> Awaitable[None]:
        """Take the batch at once; what is returned ends when it, and everything handed over before it, is durable.

        What is not urgent waits up to ``DEFER_MAX_S`` for company.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not batch and not self._pending.batch:
            waiter.set_result(None)
        elif len(self._pending.batch.commands) > WAITING_COMMANDS_MAX:
            message = "the database does not take changes at present"
            waiter.set_exception(Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, message, {"neighbour": "database"}))
        else:
            self._add(batch)
            self._pending.waiters.append(waiter)
            (self._urgent if urgent else self._deferred).set()
        return waiter

    def defer(self, batch: Batch) -> None:
        """Make the batch durable with the next commit, or within ``DEFER_MAX_S``."""
        self._add(batch)
        self._deferred.set()

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await self._deferred_or_urgent()
            await self._write_until_durable(self._take())

    async def check(self) -> str | None:
        """Return why nothing becomes durable, or nothing; for a readiness probe."""
        if self._connection is None:
            return "no lease"
        if self._stuck_since_s is None:
            return None
        return f"the database takes no changes since {self._clock.monotonic_s() - self._stuck_since_s:.0f} s"

    async def _deferred_or_urgent(self) -> None:
        if self._urgent.is_set():
            return
        urgent = asyncio.ensure_future(self._urgent.wait())
        try:
            if not self._deferred.is_set():
                deferred = asyncio.ensure_future(self._deferred.wait())
                await asyncio.wait({urgent, deferred}, return_when=asyncio.FIRST_COMPLETED)
                deferred.cancel()
            await asyncio.wait({urgent}, timeout=DEFER_MAX_S)
        finally:
            urgent.cancel()

    def _add(self, batch: Batch) -> None:
        # In the step that changed them, so that a caller's span is the present one.
        command_traces.begin(batch.commands)
        self._pending.batch.merge(batch)
        del self._pending.batch.signal_decisions[:-WAITING_SIGNAL_DECISIONS_MAX]
        # Who handed them over tells them.
        self._pending.batch.predictions.clear()
        self._pending.batch.reports.clear()

    def _take(self) -> _Pending:
        taken, self._pending = self._pending, _Pending()
        self._urgent.clear()
        self._deferred.clear()
        return taken

    async def _write_until_durable(self, pending: _Pending) -> None:
        pause_s = PAUSE_FIRST_S
        changes: list[tuple[Command, int]] | None = None
        while changes is None:
            try:
                if self._connection is None or self._connection.closed:
                    await self.open()
                changes = await self._write(pending.batch)
                break
            except PASSING as error:
                self._stuck_since_s = self._stuck_since_s or self._clock.monotonic_s()
                _log.warning("ledger_write_retried", error=str(error).strip(), pause_s=pause_s)
                await self._drop_connection()
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)
        self._stuck_since_s = None
        for waiter in pending.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._tell(changes)

    async def _drop_connection(self) -> None:
        # The server ends the session, and with it the lease, when it notices; ``open`` waits for that.
        if self._connection is not None:
            await self._connection.close()

    async def _write(self, batch: Batch) -> list[tuple[Command, int]]:
        assert self._connection is not None  # noqa: S101 - opened by the caller
        started_s = self._clock.monotonic_s()
        changes = self._numbered(batch.commands)
        entries = audit_entries(batch.commands) if self._audited else []
        await self._connection.execute(
            sql.WRITE_AUDITED if entries else sql.WRITE,
            [
                *_command_columns(list(_newest(changes).values())),
                *_override_columns(batch.overrides),
                *_journal_columns(batch.journal),
                *_columns(signal_decision_rows(batch.signal_decisions), 4),
                json.dumps(batch.released),
                *columns(_events(batch, self._codec)),
                *([entries] if entries else []),
            ],
        )
        metrics.COMMIT_SECONDS.observe(self._clock.monotonic_s() - started_s)
        return changes

    def _numbered(self, commands: Sequence[Command]) -> list[tuple[Command, int]]:
        numbered = []
        for command in commands:
            self._last_change_us = max(self._last_change_us + 1, self._clock.now_us())
            numbered.append((command, self._last_change_us))
        return numbered

    def _tell(self, changes: Sequence[tuple[Command, int]]) -> None:
        for command, _ in changes:
            metrics.COMMANDS.labels(type(command.setpoint).__name__, str(command.state), command.reason).inc()
        if changes:
            for listener in self._listeners:
                listener(changes)


def _newest(changes: Sequence[tuple[Command, int]]) -> dict[tuple[str, str], tuple[Command, int]]:
    """Return the last change of each command; one that was handed over after a later state does not undo it."""
    newest: dict[tuple[str, str], tuple[Command, int]] = {}
    for command, change_us in changes:
        key = (command.district, command.id)
        known = newest.get(key)
        if known is None or RANK[command.state] > RANK[known[0].state]:
            newest[key] = command, change_us
    return newest


def _override_columns(overrides: Sequence[Override]) -> list[list[Any]]:
    newest = {(one.district, one.id): one for one in overrides}
    rows = [
        (
            one.district,
            one.id,
            one.device,
            one.group,
            json.dumps(to_json(one.setpoint)),
            int(one.authority),
            one.end_us,
            _clean(one.justification),
            one.create_time_us,
            one.ended_time_us,
            one.request_digest,
        )
        for one in newest.values()
    ]
    return _columns(rows, 11)


def _journal_columns(journal: Sequence[JournalEntry]) -> list[list[Any]]:
    rows = [
        (one.wall_us, one.district, str(one.entry), one.target, one.issuer, one.reason, _clean(one.detail))
        for one in journal
    ]
    return _columns(rows, 7)


def _command_columns(changes: Sequence[tuple[Command, int]]) -> list[list[Any]]:
    rows = [
        (
            one.district,
            one.id,
            one.device,
            json.dumps(to_json(one.setpoint)),
            int(one.authority),
            one.issuer,
            one.cause,
            str(one.state),
            RANK[one.state],
            one.reason,
            _clean(one.detail),
            one.create_time_us,
            one.not_before_us,
            one.expire_us,
            one.verify_by_us,
            one.dispatch_street_us,
            one.dispatch_time_us,
            one.settle_time_us,
            one.request_digest,
            change_us,
        )
        for one, change_us in changes
    ]
    return _columns(rows, 20)


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    return [[row[place] for row in rows] for place in range(width)]


def _events(batch: Batch, codec: Codec) -> list[OutboxRow]:
    rows = [
        OutboxRow(
            subject=subjects.DECISION_RECORDED.subject(decision.district, decision.key),
            ce_id=message_id(decision),
            ce_type=subjects.DECISION_RECORDED.message,
            body=codec.decision_recorded(decision),
        )
        for decision in batch.decisions
    ]
    for command in batch.commands:
        facts = _facts(command)
        body = codec.command_changed(command) if facts else b""
        rows += [
            OutboxRow(
                subject=fact.subject(command.district, command.id),
                ce_id=f"{command.id}-{fact.verb}",
                ce_type=fact.message,
                body=body,
                traceparent=command_traces.parent(command.district, command.id),
            )
            for fact in facts
        ]
    return rows


def _facts(command: Command) -> Sequence[subjects.Fact]:
    if command.state is State.ACCEPTED:
        return (subjects.COMMAND_ISSUED,)
    if command.state is State.REFUSED:
        return (subjects.COMMAND_ISSUED, subjects.COMMAND_SETTLED)
    if command.state is State.DISPATCHED:
        return (subjects.COMMAND_DISPATCHED,)
    return (subjects.COMMAND_SETTLED,) if command.terminal else ()


def _clean(text: str) -> str:
    """Return a text that a table takes."""
    return text.replace("\x00", "")


async def _first(connection: Connection, statement: Any) -> object:  # noqa: ANN401 - a literal of sql.py
    row = await (await connection.execute(statement)).fetchone()
    return row[0] if row else None
