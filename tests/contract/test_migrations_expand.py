"""Migrations only add, so that the version before runs on the schema of the next: during an upgrade and after a rollback."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RELEASED = {
    "actuation": 4,
    "consent": 2,
    "device-registry": 4,
    "ingest": 1,
    "notification": 3,
    "timeseries": 9,
}
"""The last migration of 0.1.0, the first version that somebody may upgrade from."""
TAKES_AWAY = re.compile(
    r"\b(DROP\s+(TABLE|COLUMN|SCHEMA|VIEW|FUNCTION|TYPE)|RENAME\b|SET\s+NOT\s+NULL|ALTER\s+COLUMN\s+\S+\s+(SET\s+DATA\s+)?TYPE"
    r"|TRUNCATE|DELETE\s+FROM|REVOKE)\b",
    re.IGNORECASE,
)
NEEDED = re.compile(r"ADD\s+COLUMN\s+(?:(?!,|;)[\s\S])*?\bNOT\s+NULL\b(?!(?:(?!,|;)[\s\S])*\bDEFAULT\b)", re.IGNORECASE)
"""A column that the version before, which does not know it, would have to fill."""


def test_migrations_after_a_release_only_add() -> None:
    """None that comes after a released one takes away what the version before uses, or asks it for more."""
    for service, released in RELEASED.items():
        for path in _migrations(service):
            if int(path.name[:4]) > released:
                assert _taken_away(path.read_text()) == [], path


def test_what_was_released_is_there() -> None:
    """Released migrations stay, and none is counted that does not exist."""
    for service, released in RELEASED.items():
        numbers = {int(path.name[:4]) for path in _migrations(service)}
        assert set(range(1, released + 1)) <= numbers, service


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE devices DROP COLUMN name",
        "alter table devices rename column a to b",
        "ALTER TABLE devices ADD COLUMN owner text NOT NULL",
        "ALTER TABLE devices ALTER COLUMN owner SET NOT NULL",
        "ALTER TABLE devices ALTER COLUMN size TYPE bigint",
        "DROP TABLE devices",
    ],
)
def test_what_takes_away_is_seen(statement: str) -> None:
    """The check can fail."""
    assert _taken_away(statement) != []


@pytest.mark.parametrize(
    "statement",
    ["ALTER TABLE devices ADD COLUMN owner text NOT NULL DEFAULT ''", "CREATE TABLE places (id bigint NOT NULL)"],
)
def test_what_adds_is_let_through(statement: str) -> None:
    """A column with a default, and a table that only the next version knows, ask nothing of the version before."""
    assert _taken_away(statement) == []


def _taken_away(statements: str) -> list[str]:
    code = re.sub(r"--.*", "", statements)
    return [found.group() for pattern in (TAKES_AWAY, NEEDED) for found in pattern.finditer(code)]


def _migrations(service: str) -> list[Path]:
    folder = ROOT / "services" / service / "src" / "maasloop" / service.replace("-", "_") / "migrations"
    return sorted(folder.glob("[0-9]*.sql"))
