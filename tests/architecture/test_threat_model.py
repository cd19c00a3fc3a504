"""The threat model names tests that exist, covers every kind of listener, and leaves no row without a test."""

import ast
import re
from functools import cache
from pathlib import Path

from maasloop.stack.servers.databases import SERVICES
from maasloop.stack.services import HTTP_SERVICES, LISTENERS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanations" / "threat-model.md"
NAMED = re.compile(r"`([\w/.-]+\.py)::(test_\w+)`")
OPEN = "## Not stopped"
"""Below it stands what no test covers."""
OUTWARD = {"downlink", "webhooks"}
"""Doors through which the platform speaks first."""
ROWS_MIN = 50


@cache
def _tests(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def _rows(text: str) -> list[str]:
    lines = [line for line in text.split(OPEN, maxsplit=1)[0].splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith(("| threat ", "| what happened "))]


def test_every_threat_names_a_test_that_exists() -> None:
    """A row without a test, or with one that was renamed, is found here."""
    rows = _rows(PAGE.read_text(encoding="utf-8"))
    named = {row: NAMED.findall(row) for row in rows}

    assert len(rows) >= ROWS_MIN
    assert [row for row, tests in named.items() if not tests] == []
    missing = [
        f"{file}::{test}"
        for tests in named.values()
        for file, test in tests
        if not (ROOT / file).is_file() or test not in _tests(file)
    ]
    assert missing == []


def test_every_door_has_its_threats() -> None:
    """Each kind of listener of the stack, and each way out, has a section of its own."""
    doors = set(re.findall(r"^## `([\w-]+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    own = {f"{service}-{kind}" for service in (*SERVICES, *HTTP_SERVICES) for kind in doors}
    kinds = {name if name not in own else name.rpartition("-")[2] for name in LISTENERS}

    assert {kind for kind in kinds if kind not in doors and not kind.endswith("-public")} == set()
    assert kinds >= doors - OUTWARD
