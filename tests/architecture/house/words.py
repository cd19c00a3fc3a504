"""Rules about literals and calls: subjects come from one registry, time from one clock."""

import ast
import re
from collections.abc import Iterator

from house.tree import Source, Tree, Violation, imports

REGISTRY = "maasloop.bus.subjects"
CLOCK = "maasloop.core.clock"

_VERBS = (
    "activated|recorded|registered|updated|retired|issued|dispatched|settled|raised|acknowledged|resolved"
    "|granted|withdrawn|objected|erased"
)
_NOUNS = "observation|response|device|decision|command|alert|consent"
_SERVICES = "ingest|device-registry|timeseries|actuation|notification|consent"
SUBJECT = re.compile(
    rf"^maasloop\.(?:$|[>*]|deadletter\.|rpc\.(?:$|[>*]|{_SERVICES})|(?:{_NOUNS})\.(?:$|[>*]|{_VERBS}))"
    r"|(?:^|\W)dev[./]v1(?:[./]|$)"
)
WALL = frozenset({
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns",
})  # fmt: skip


def registered_subjects(tree: Tree) -> Iterator[Violation]:
    """No subject is written outside the registry."""
    for source in tree.packages:
        if source.module != REGISTRY:
            for node in _texts(source):
                if SUBJECT.search(str(node.value)):
                    yield source.at(node, f"writes the subject {node.value!r}; build it with {REGISTRY}")


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


def _texts(source: Source) -> Iterator[ast.Constant]:
    """Yield text literals, parts of f-strings too, but not those that stand alone: they describe."""
    descriptions = {node.value for node in ast.walk(source.syntax) if isinstance(node, ast.Expr)}
    for node in ast.walk(source.syntax):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in descriptions:
            yield node


def _ends(node: ast.Attribute) -> str:
    """Return the last two names of ``a.b.c``."""
    owner = node.value
    if isinstance(owner, ast.Attribute):
        return f"{owner.attr}.{node.attr}"
    return f"{owner.id}.{node.attr}" if isinstance(owner, ast.Name) else node.attr
