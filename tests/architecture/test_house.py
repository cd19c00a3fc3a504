"""The tree obeys the rules of the house, and each rule is shown to be able to fail on a small made-up tree."""

from pathlib import Path
from typing import NamedTuple

import pytest

from house import directions, pages, shape, words
from house.tree import Rule, Tree

ROOT = Path(__file__).resolve().parents[2]

RULES: tuple[Rule, ...] = (
    shape.short_files,
    shape.short_functions,
    shape.open_namespace,
    shape.telling_names,
    shape.described_modules,
    shape.described_tests,
    directions.known_neighbours,
    directions.pure_domains,
    directions.unworldly_domains,
    directions.lonely_handlers,
    words.registered_subjects,
    words.one_clock,
    words.limited_connections,
    pages.leading_links,
    pages.found_pages,
)


def _name(rule: Rule) -> str:
    return getattr(rule, "__name__", "rule")


class Sabotage(NamedTuple):
    """A file that breaks one rule, and the same place kept well."""

    rule: Rule
    path: str
    bad: str
    good: str


INGEST = "services/ingest/src/maasloop/ingest"
BUS = "libs/bus/src/maasloop/bus"

SABOTAGES = (
    Sabotage(shape.short_files, f"{INGEST}/app.py", "pass\n" * 401, "pass\n" * 400),
    Sabotage(shape.short_files, "docs/long.md", "word\n" * 401, "word\n" * 400),
    Sabotage(shape.short_functions, f"{INGEST}/app.py", "def f():\n" + " 0\n" * 70, "def f():\n" + " 0\n" * 69),
    Sabotage(shape.short_functions, f"{INGEST}/app.py", "async def f():\n" + " 0\n" * 70, ""),
    Sabotage(shape.telling_names, f"{INGEST}/utils.py", "", ""),
    Sabotage(shape.described_modules, f"{INGEST}/app.py", "x = 1\n", '"""Wires."""\nx = 1\n'),
    Sabotage(
        shape.described_tests,
        "services/ingest/tests/test_a.py",
        "def test_a():\n    pass\n",
        'def test_a():\n    """It holds."""\n',
    ),
    Sabotage(directions.known_neighbours, f"{INGEST}/handlers/a.py", "import psycopg\n", "import json\n"),
    Sabotage(directions.known_neighbours, f"{INGEST}/adapters/bus.py", "import psycopg.sql\n", "import nats_free\n"),
    Sabotage(directions.known_neighbours, f"{INGEST}/entrypoints/http.py", "import nats\n", "import starlette\n"),
    Sabotage(directions.known_neighbours, f"{BUS}/publish.py", "import grpc\n", "import nats\n"),
    Sabotage(directions.known_neighbours, f"{INGEST}/handlers/a.py", "from maasloop.api import x\n", ""),
    Sabotage(directions.known_neighbours, f"{INGEST}/handlers/a.py", "from maasloop import bus\n", ""),
    Sabotage(
        directions.pure_domains, f"{INGEST}/domain/a.py", "import numpy\n", "from maasloop.core import ids\nimport re\n"
    ),
    Sabotage(directions.pure_domains, f"{INGEST}/domain/a.py", "from ..ports import X\n", "from .b import X\n"),
    Sabotage(directions.unworldly_domains, f"{INGEST}/domain/a.py", "import logging\n", "import math\n"),
    Sabotage(
        directions.unworldly_domains, f"{INGEST}/domain/a.py", "async def f(): pass\n", "from urllib import parse\n"
    ),
    Sabotage(directions.lonely_handlers, f"{INGEST}/handlers/a.py", "from .b import b\n", "from ..ports import B\n"),
    Sabotage(directions.lonely_handlers, f"{INGEST}/handlers/a.py", "from maasloop.ingest.handlers import b\n", ""),
    Sabotage(words.registered_subjects, f"{INGEST}/app.py", 'x = f"maasloop.observation.recorded.v1.{y}"\n', ""),
    Sabotage(
        words.registered_subjects, f"{INGEST}/app.py", 'x = f"maasloop.{y}.{z}.v1"\n', 'x = f"maasloop.{y}.app"\n'
    ),
    Sabotage(
        words.registered_subjects, f"{INGEST}/app.py", 'x = "maasloop.rpc.ingest.record"\n', 'x = "maasloop.rpc"\n'
    ),
    Sabotage(words.registered_subjects, f"{INGEST}/app.py", 'x = "$MQTT.msgs.dev.v1.*"\n', 'x = "dev"\n'),
    Sabotage(words.registered_subjects, f"{INGEST}/app.py", 'x = "dev/v1/noord"\n', 'x = "maasloop.consent.app"\n'),
    Sabotage(words.one_clock, f"{INGEST}/app.py", "x = datetime.now(UTC)\n", "x = clock.now()\n"),
    Sabotage(words.one_clock, f"{INGEST}/app.py", "x = dt.datetime.now(UTC)\n", "x = time.monotonic()\n"),
    Sabotage(words.one_clock, f"{INGEST}/app.py", "from time import time\n", "from time import monotonic\n"),
    Sabotage(words.limited_connections, f"{INGEST}/app.py", "x = psycopg.connect(dsn)\n", "x = connect_once(dsn)\n"),
    Sabotage(words.limited_connections, f"{INGEST}/app.py", "x = psycopg.AsyncConnection.connect(y)\n", ""),
    Sabotage(words.limited_connections, f"{INGEST}/app.py", "from psycopg import connect\n", ""),
    Sabotage(pages.leading_links, "docs/a.md", "[b](b.md)", "[a](../docs/a.md#b), [b](https://b.example)"),
    Sabotage(pages.found_pages, "docs/a.md", "[a](a.md)", ""),
)


@pytest.fixture(name="tree", scope="module")
def _tree() -> Tree:
    return Tree(ROOT)


@pytest.mark.parametrize("rule", RULES, ids=_name)
def test_tree_obeys(rule: Rule, tree: Tree) -> None:
    """The checkout has no violation of the rule."""
    found = [str(violation) for violation in rule(tree)]

    assert not found, "\n".join(found)


@pytest.mark.parametrize("service", Tree(ROOT).services, ids=lambda path: path.name)
def test_service_has_its_rooms(service: Path, tree: Tree) -> None:
    """Every service looks the same inside."""
    place = service.relative_to(ROOT).as_posix()
    found = [str(violation) for violation in shape.rooms(tree) if violation.place == place]

    assert not found, "\n".join(found)


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda case: f"{_name(case.rule)}-{Path(case.path).name}")
def test_rule_sees_sabotage(sabotage: Sabotage, tmp_path: Path) -> None:
    """A rule reports the file that breaks it."""
    _write(tmp_path, sabotage.path, sabotage.bad)

    assert [*sabotage.rule(Tree(tmp_path))]


@pytest.mark.parametrize(
    "sabotage",
    [case for case in SABOTAGES if case.good],
    ids=lambda case: f"{_name(case.rule)}-{Path(case.path).name}",
)
def test_rule_lets_good_code_pass(sabotage: Sabotage, tmp_path: Path) -> None:
    """A rule is silent about the same file kept well."""
    _write(tmp_path, sabotage.path, sabotage.good)

    assert [*sabotage.rule(Tree(tmp_path))] == []


def test_closed_namespace_is_seen(tmp_path: Path) -> None:
    """A stray ``__init__.py`` at the namespace root is reported, one in a member is not."""
    _write(tmp_path, f"{BUS}/__init__.py", "")
    assert [*shape.open_namespace(Tree(tmp_path))] == []

    _write(tmp_path, "libs/bus/src/maasloop/__init__.py", "")
    assert [at.place for at in shape.open_namespace(Tree(tmp_path))] == ["libs/bus/src/maasloop/__init__.py"]


def test_missing_rooms_are_seen(tmp_path: Path) -> None:
    """A service without its rooms is reported once a room; a whole one is not."""
    _write(tmp_path, "services/ingest/pyproject.toml", "")
    assert len(shape.ROOMS) + 3 == len([*shape.rooms(Tree(tmp_path))])

    for room in shape.ROOMS:
        _write(tmp_path, f"{INGEST}/{room}.py", "")
    for path in ("README.md", "tests/domain/test_a.py", "src/maasloop/ingest/migrations/0001_quarantine.sql"):
        _write(tmp_path, f"services/ingest/{path}", "")
    assert [*shape.rooms(Tree(tmp_path))] == []


def test_generated_code_is_not_judged(tmp_path: Path) -> None:
    """Stubs may be long: they are checked for drift instead."""
    _write(tmp_path, "libs/api/src/maasloop/api/a_pb2.py", "pass\n" * 401)

    assert [at for rule in (shape.short_files, shape.described_modules) for at in rule(Tree(tmp_path))] == []


def _write(root: Path, path: str, text: str) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
