"""Migrations run once, in order, and what was applied is never edited."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from maasloop.postgres.migrate import Migration, MigrationChanged, load, migrate

FIRST = Migration(1, "devices", "CREATE TABLE devices (id text); INSERT INTO devices VALUES ('50 %');")
SECOND = Migration(2, "names", "ALTER TABLE devices ADD COLUMN name text;")


async def _rows(dsn: str, query: str) -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def test_only_what_is_missing_is_applied(postgres_dsn: str) -> None:
    """A second run applies nothing, a new file only itself."""
    assert await migrate(postgres_dsn, [FIRST]) == [FIRST]
    assert await migrate(postgres_dsn, [FIRST]) == []
    assert await migrate(postgres_dsn, [FIRST, SECOND]) == [SECOND]

    assert await _rows(postgres_dsn, "SELECT id, name FROM devices") == [("50 %", None)]
    assert await _rows(postgres_dsn, "SELECT version, name FROM migrations ORDER BY version") == [
        (1, "devices"),
        (2, "names"),
    ]


async def test_instances_that_start_together_apply_once(postgres_dsn: str) -> None:
    """Of three instances one applies and the others find it done."""
    results = await asyncio.gather(*(migrate(postgres_dsn, [FIRST, SECOND]) for _ in range(3)))

    assert sorted(len(applied) for applied in results) == [0, 0, 2]


async def test_a_changed_file_is_refused(postgres_dsn: str) -> None:
    """The refusal names the file and says what to do instead."""
    await migrate(postgres_dsn, [FIRST])

    with pytest.raises(MigrationChanged, match=r"0001_devices differs .* write the change as a new migration"):
        await migrate(postgres_dsn, [Migration(1, "devices", FIRST.sql + " -- edited")])


async def test_a_failing_file_leaves_nothing_behind(postgres_dsn: str) -> None:
    """A migration is one transaction; those before it stay, it is tried again next time."""
    broken = Migration(2, "names", "CREATE TABLE names (id text); SELECT 1/0;")

    with pytest.raises(psycopg.errors.DivisionByZero):
        await migrate(postgres_dsn, [FIRST, broken])

    assert await _rows(postgres_dsn, "SELECT to_regclass('names') IS NULL, count(*) FROM migrations") == [(True, 1)]
    assert await migrate(postgres_dsn, [FIRST, SECOND]) == [SECOND]


async def test_older_code_runs_beside_a_newer_schema(postgres_dsn: str) -> None:
    """A version that only the database knows is left alone."""
    await migrate(postgres_dsn, [FIRST, SECOND])

    assert await migrate(postgres_dsn, [FIRST]) == []


def test_files_are_read_in_order(tmp_path: Path) -> None:
    """The number orders, the rest names; other files than SQL are none of ours."""
    (tmp_path / "0002_b.sql").write_text("SELECT 2", encoding="utf-8")
    (tmp_path / "0001_a.sql").write_text("SELECT 1", encoding="utf-8")
    (tmp_path / "README.md").write_text("", encoding="utf-8")

    assert load(tmp_path) == [Migration(1, "a", "SELECT 1"), Migration(2, "b", "SELECT 2")]


@pytest.mark.parametrize("names", [["0002_b.sql"], ["0001_a.sql", "0001_b.sql"], ["1_a.sql"], ["0001-a.sql"]])
def test_a_wrong_number_or_name_is_an_error(tmp_path: Path, names: list[str]) -> None:
    """A gap, a number used twice and a name outside the grammar are found when the files are read."""
    for name in names:
        (tmp_path / name).write_text("SELECT 1", encoding="utf-8")

    with pytest.raises(ValueError, match=r"migration"):
        load(tmp_path)
