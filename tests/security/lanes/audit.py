"""Is every change of an audit log found from one old checkpoint? The log is written by PostgreSQL and signed by the keeper."""

import asyncio
import io
import random
from collections import Counter
from contextlib import suppress

import psycopg
from tests.security.audit_mutations import MUTATIONS, Original, found
from tests.security.outcome import Outcome, Plan

from maasloop.api.common.v1.audit_pb2 import AuditCheckpointed
from maasloop.audit.entries import Entry, Verb
from maasloop.audit.exports import Export, Row
from maasloop.audit.notes import SigningKey
from maasloop.core.clock import SystemClock
from maasloop.postgres.pool import Pool, open_pool
from maasloop.runtime.auditing import AuditTrail
from maasloop.runtime.checkpointing import Checkpointer
from maasloop.stack.servers.databases import role_name
from maasloop.testing.databases import TestDatabases
from maasloop.testing.providers import provide_timescale

MUTATIONS_TRIED = 10_000
ENTRIES, KEPT = 100, 60
SERVICE = "consent"
VERBS = tuple(Verb)


async def run(plan: Plan) -> Outcome:
    """Write a log, change it in many ways, and count the changes that are found."""
    chance = random.Random(plan.seed)
    with provide_timescale() as server:
        databases = TestDatabases(server)
        databases.prepare()
        name = databases.create()
        try:
            original = await _written(server.dsn(name, role_name(SERVICE)), chance)
        finally:
            databases.drop(name)
            databases.close()
    tried, missed = Counter[str](), Counter[str]()
    chained = plan.sabotage != "no-chain-check"
    untouched = not found(original, original.text, chained=chained)
    while tried.total() < plan.cases(MUTATIONS_TRIED):
        mutate = MUTATIONS[tried.total() % len(MUTATIONS)]
        text = mutate(original, chance)
        if text == original.text:
            continue
        tried[mutate.__name__] += 1
        missed[mutate.__name__] += not await asyncio.to_thread(found, original, text, chained=chained)
    detected = tried.total() - missed.total()
    return Outcome.of(
        "audit",
        {"the log as it was written holds": untouched, "every mutation is found": detected == tried.total()},
        figures={"audit_mutations": tried.total(), "audit_detected": detected},
        notes=(
            f"a log of {ENTRIES} entries, an old checkpoint of {KEPT} of them",
            "tried: " + ", ".join(f"{kind} {count}" for kind, count in tried.items()),
            *(f"missed: {kind} {count}" for kind, count in missed.items() if count),
        ),
    )


async def _written(dsn: str, chance: random.Random) -> Original:
    """Return a log as a service writes one."""
    key, clock, notes = SigningKey.generate(f"proof/audit/{SERVICE}"), SystemClock(), list[str]()

    async def publish(message: AuditCheckpointed) -> None:
        notes.append(message.checkpoint)

    async with open_pool(dsn, name="proof") as pool:
        trail = AuditTrail(pool, clock)
        writing = asyncio.create_task(trail.run())
        keeper = Checkpointer(pool, key, clock, publish)
        await _entries(trail, KEPT, chance)
        await keeper.look(at_once=True)
        await _entries(trail, ENTRIES - KEPT, chance)
        await keeper.look(at_once=True)
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        rows = await _rows(pool)
    file = io.StringIO()
    Export(key.name, notes[-1], rows).write(file)
    return Original(file.getvalue(), notes[0], KEPT, key)


async def _entries(trail: AuditTrail, count: int, chance: random.Random) -> None:
    clock = SystemClock()
    for _ in range(count):
        entry = Entry(
            time_us=clock.now_us(),
            verb=chance.choice(VERBS),
            actor=f"person/p{chance.randrange(20)}",
            resource=f"districts/noord/devices/lamp-{chance.randrange(100)}",
            call=f"{chance.getrandbits(64):016x}",
        )
        await trail.record(entry)


async def _rows(pool: Pool) -> list[Row]:
    async with pool.connection() as connection:
        cursor: psycopg.AsyncCursor[tuple[int, str, bytes]] = connection.cursor(row_factory=psycopg.rows.tuple_row)
        await cursor.execute("SELECT place, entry, link FROM audit.read(0, %s)", (ENTRIES,))
        return [Row(*row) for row in await cursor.fetchall()]
