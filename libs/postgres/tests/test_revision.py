"""Revisions are drawn in the order of commits and without gaps."""

import asyncio

import psycopg

from maasloop.postgres.revision import REVISIONS_DDL, last_revision, next_revision


async def _prepare(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute(REVISIONS_DDL.encode())
        await connection.execute("CREATE TABLE changes (revision bigint)")


async def test_revisions_count_up_and_counters_are_apart(postgres_dsn: str) -> None:
    """The first is 1; several can be drawn at once; another counter begins at 1 again."""
    await _prepare(postgres_dsn)
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as connection, connection.cursor() as cursor:
        assert await last_revision(cursor, "devices") == 0
        assert await next_revision(cursor, "devices") == 1
        assert await next_revision(cursor, "devices", count=10) == 11
        assert await next_revision(cursor, "types") == 1
        assert await last_revision(cursor, "devices") == 11


async def test_a_rollback_gives_the_revision_back(postgres_dsn: str) -> None:
    """No gap remains where a transaction failed."""
    await _prepare(postgres_dsn)
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as connection, connection.cursor() as cursor:
        await next_revision(cursor, "devices")
        await connection.rollback()

        assert await next_revision(cursor, "devices") == 1


async def test_a_later_revision_is_never_visible_before_an_earlier_one(postgres_dsn: str) -> None:
    """While writers compete, a reader always sees all changes up to the last revision it sees."""
    await _prepare(postgres_dsn)

    async def write() -> None:
        async with await psycopg.AsyncConnection.connect(postgres_dsn) as connection:
            for _ in range(20):
                async with connection.transaction(), connection.cursor() as cursor:
                    revision = await next_revision(cursor, "devices")
                    await asyncio.sleep(0)
                    await cursor.execute("INSERT INTO changes VALUES (%s)", (revision,))

    async def read(writers: list[asyncio.Task[None]]) -> None:
        async with await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True) as connection:
            while not all(writer.done() for writer in writers):
                cursor = await connection.execute(
                    "SELECT coalesce((SELECT value FROM revisions), 0), (SELECT count(*) FROM changes)"
                )
                last, seen = await cursor.fetchone() or (None, None)
                assert last == seen

    writers = [asyncio.create_task(write()) for _ in range(4)]
    await read(writers)
    await asyncio.gather(*writers)
