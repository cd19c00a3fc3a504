"""Signs what a service's audit log is: as soon as it rests, and once a minute while it grows.

The keeper of a log trusts its own signature and nothing else: the tree goes on from the last checkpoint that its key has
signed, and every entry since is hashed again before it is signed. Where what is stored does not follow from what was
signed, the keeper signs nothing more, and says so until a person has looked.

Each checkpoint is kept in the database, replaces the file, and is published with the proof that it continues the one
before; the next one is not made before that is done, so that the proofs form one chain. One instance at a time keeps a
log. Task: ``run``.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import structlog

from maasloop.api.common.v1.audit_pb2 import AuditCheckpointed
from maasloop.audit.chain import ORIGIN, link_hash
from maasloop.audit.checkpoints import Checkpoint
from maasloop.audit.notes import Note, NoteRefused, SigningKey
from maasloop.audit.tree import Tree, consistency_proof, leaf_hash
from maasloop.core.clock import Clock
from maasloop.core.errors import Retryable
from maasloop.postgres.errors import translated
from maasloop.postgres.pool import Connection, Pool
from maasloop.telemetry import metrics

INTERVAL_S = 60.0
"""Longest time between two checkpoints of a log that grows."""
LOOK_S = 2.0
"""A log without a new entry for this long rests."""
READ_ENTRIES_MAX = 5_000

_LEAD = "SELECT pg_try_advisory_xact_lock(hashtextextended('maasloop.audit.' || session_user, 0))"
_SIZE = "SELECT audit.size()"
_NEWEST = "SELECT entries, roots, signed FROM audit.newest(2)"
_READ = "SELECT place, entry, link FROM audit.read(%s, %s)"
_KEEP = "SELECT audit.keep(%s, %s, %s)"

_checkpoints = metrics.counter("maasloop_audit_checkpoints_total", "Checkpoints of the audit log that were signed")
_size = metrics.gauge("maasloop_audit_checkpoint_entries", "Entries that the last checkpoint covers")
_broken = metrics.gauge("maasloop_audit_log_broken", "1 while the stored log does not follow from what was signed")

_log = structlog.get_logger()

type Publish = Callable[[AuditCheckpointed], Awaitable[None]]
"""Returns when the broker has stored the checkpoint."""


class LogBroken(Exception):
    """What is stored does not follow from what was signed."""


@dataclass(slots=True)
class _Kept:
    """How far the log was signed."""

    tree: Tree
    chain: bytes


class Checkpointer:
    """Keeps the log of the role that the pool logs in with."""

    def __init__(
        self, pool: Pool, key: SigningKey, clock: Clock, publish: Publish, *, file: Path | None = None
    ) -> None:
        """Sign with ``key``; the newest checkpoint also replaces ``file``."""
        self._pool = pool
        self._key = key
        self._clock = clock
        self._publish = publish
        self._file = file
        self._unpublished: tuple[int, AuditCheckpointed] | None = None
        self._told_size = -1
        self._signed_at_s = float("-inf")
        self._seen_size = 0
        self._fault = ""

    async def run(self) -> None:
        """Keep the log for ever."""
        while True:
            try:
                await self.look()
            except Retryable as error:
                _log.warning("checkpoint_put_off", reason=error.message)
            await self._clock.sleep(LOOK_S)

    def trouble(self) -> str:
        """Return what is wrong with the log, or nothing."""
        return self._fault

    async def look(self, *, at_once: bool = False) -> None:
        """Sign what is new, if it is time, or ``at_once``, and publish what was not published yet."""
        if self._unpublished is None and (await self._due() or at_once):
            await self._sign()
        if self._unpublished is not None:
            self._told_size, message = self._unpublished
            await self._publish(message)
            self._unpublished = None

    async def _due(self) -> bool:
        with translated():
            async with self._pool.connection() as connection:
                row: Any = await (await connection.execute(_SIZE)).fetchone()
        size, before = int(row[0] or 0), self._seen_size
        self._seen_size = size
        rests = size == before and size != self._told_size
        return rests or self._clock.monotonic_s() - self._signed_at_s >= INTERVAL_S

    async def _sign(self) -> None:
        try:
            with translated():
                async with self._pool.connection() as connection:
                    await self._signed(connection)
        except LogBroken as error:
            if not self._fault:
                _log.error("audit_log_broken", log=self._key.name, reason=str(error))
            self._fault = str(error)
            _broken.set(1)
        else:
            self._fault = ""
            _broken.set(0)

    async def _signed(self, connection: Connection) -> None:
        row: Any = await (await connection.execute(_LEAD)).fetchone()
        if not row[0]:
            return
        rows = cast(
            "list[tuple[int, list[bytes], str]]", await (await connection.execute(_NEWEST, binary=True)).fetchall()
        )
        known = [self._opened(*each) for each in rows]
        base = known[0] if known else _Kept(Tree(), ORIGIN)
        if known and self._told_size != base.tree.size:
            # This process has not seen it published: the one that signed it may have died in between.
            before = known[1].tree if len(known) > 1 else Tree()
            leaves, _ = await self._leaves(connection, _before(known), upto=base.tree.size)
            self._unpublished = base.tree.size, self._message(rows[0][2], before, leaves)
            return
        leaves, chain = await self._leaves(connection, base)
        if not leaves:
            return
        tree = base.tree.copy()
        tree.extend(leaves)
        checkpoint = Checkpoint(self._key.name, tree.size, tree.root(), chain, self._clock.now_us() // 1_000_000)
        note = str(checkpoint.signed(self._key))
        await connection.execute(_KEEP, (tree.size, tree.peaks, note))
        self._signed_at_s = self._clock.monotonic_s()
        self._unpublished = tree.size, self._message(note, base.tree, leaves)
        self._write(note)
        _checkpoints.inc()
        _size.set(tree.size)

    def _opened(self, size: int, peaks: list[bytes], text: str) -> _Kept:
        """Return what our own signature says; what another key signed is refused."""
        try:
            checkpoint, tree = Checkpoint.opened(Note.parse(text), self._key.verifying), Tree(size, peaks)
        except (NoteRefused, ValueError) as error:
            message = f"the kept checkpoint of {size} entries is none of ours: {error}"
            raise LogBroken(message) from None
        if (checkpoint.size, checkpoint.root) != (tree.size, tree.root()):
            message = f"the peaks kept with the checkpoint of {size} entries are not those that were signed"
            raise LogBroken(message)
        return _Kept(tree, checkpoint.chain)

    async def _leaves(self, connection: Connection, base: _Kept, upto: int | None = None) -> tuple[list[bytes], bytes]:
        """Return the leaves of what was added since, each hashed anew, and the last link."""
        leaves: list[bytes] = []
        chain, at = base.chain, base.tree.size
        while upto is None or at < upto:
            limit = READ_ENTRIES_MAX if upto is None else min(READ_ENTRIES_MAX, upto - at)
            rows: list[Any] = await (await connection.execute(_READ, (at, limit), binary=True)).fetchall()
            for place, entry, link in rows:
                leaf = leaf_hash(str(entry).encode())
                chain, at = link_hash(chain, leaf), at + 1
                if place != at or bytes(link) != chain:
                    message = f"entry {at} does not follow from what was signed before"
                    raise LogBroken(message)
                leaves.append(leaf)
            if len(rows) < limit:
                break
        if upto is not None and at < upto:
            message = f"{upto} entries were signed, and {at} are there"
            raise LogBroken(message)
        return leaves, chain

    def _message(self, note: str, before: Tree, leaves: list[bytes]) -> AuditCheckpointed:
        proof = consistency_proof(before, leaves)
        return AuditCheckpointed(checkpoint=note, previous_size=before.size, consistency_hashes=proof)

    def _write(self, note: str) -> None:
        if self._file is None:
            return
        draft = self._file.with_suffix(".draft")
        try:
            draft.write_text(note, encoding="utf-8")
            draft.replace(self._file)
        except OSError as error:
            _log.warning("checkpoint_file_not_written", file=str(self._file), reason=str(error))


def _before(known: list[_Kept]) -> _Kept:
    return known[1] if len(known) > 1 else _Kept(Tree(), ORIGIN)
