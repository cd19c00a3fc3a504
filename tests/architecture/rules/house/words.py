"""Rules about literals and calls: subjects come from one registry, time from one clock, connections with their limits."""

import ast
import re
from collections.abc import Iterator

from house.tree import Source, Tree, Violation, imports, within
from maasloop.bus.subjects import FACTS

REGISTRY = "maasloop.bus.subjects"
CLOCK = "maasloop.core.clock"
DATABASE = "maasloop.postgres"

_VERBS = "|".join(sorted({fact.verb for fact in FACTS}))
_NOUNS = "|".join(sorted({fact.noun for fact in FACTS}))
_SERVICES = "ingest|device-registry|timeseries|actuation|notification|consent"
SUBJECT = re.compile(
    rf"^maasloop\.(?:>|\*\.[>*]|deadletter\.|rpc\.(?:$|[>*]|{_SERVICES})|(?:{_NOUNS})\.(?:$|[>*]|{_VERBS}))"
    r"|(?:^|\W)dev[./]v1(?:[./]|$)"
)
WALL = frozenset({
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns",
})  # fmt: skip
CONNECTIONS = frozenset({"psycopg.connect", "Connection.connect", "AsyncConnection.connect"})


def registered_subjects(tree: Tree) -> Iterator[Violation]:
    """No subject is written outside the registry."""
    for source in tree.packages:
        if source.module != REGISTRY:
            for node, text in _texts(source):
                if SUBJECT.search(text):
                    yield source.at(node, f"writes the subject {text!r}; build it with {REGISTRY}")


def one_clock(tree: Tree) -> Iterator[Violation]:
    """Nobody but the clock reads the machine's time."""
    for source in tree.packages:
        if source.module != CLOCK:
            for at, name in imports(source):
                if name in {"time.time", "time.time_ns"}:
                    yield source.at(at, f"imports {name}; inject {CLOCK}.Clock")
            for node in ast.walk(source.syntax):
                if isinstance(node, ast.Attribute) and _ends(node) in WALL:
                    yield source.at(node, f"{_ends(node)} reads the machine's time; inject {CLOCK}.Clock")


def limited_connections(tree: Tree) -> Iterator[Violation]:
    """Nobody but the library connects to the database, so that no connection is without limits of time."""
    for source in tree.packages:
        if not within(source.module, DATABASE):
            for at, name in imports(source):
                if name == "psycopg.connect":
                    yield source.at(at, f"imports {name}; use {DATABASE}")
            for node in ast.walk(source.syntax):
                if isinstance(node, ast.Attribute) and _ends(node) in CONNECTIONS:
                    yield source.at(node, f"{_ends(node)} has no limits of time; use {DATABASE}")


def _texts(source: Source) -> Iterator[tuple[ast.expr, str]]:
    """Yield text literals and f-strings, with ``*`` for what is filled in; those that stand alone describe."""
    nodes = list(ast.walk(source.syntax))
    passed = {node.value for node in nodes if isinstance(node, ast.Expr)}
    passed |= {part for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            yield node, "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in passed:
            yield node, node.value


def _ends(node: ast.Attribute) -> str:
    """Return the last two names of ``a.b.c``."""
    owner = node.value
    if isinstance(owner, ast.Attribute):
        return f"{owner.attr}.{node.attr}"
    return f"{owner.id}.{node.attr}" if isinstance(owner, ast.Name) else node.attr
