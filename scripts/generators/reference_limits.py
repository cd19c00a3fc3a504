"""Writes ``limits.md``: every named constant with a unit, found in the sources.

A limit is a module constant whose name says what it bounds and ends with its unit (``PUBLISH_TIMEOUT_S``,
``MESSAGE_BYTES_MAX``). Its meaning is the text that follows it, or the comment above it.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from generators.pages import code, page, section, table

UNITS = re.compile(r"[A-Z][A-Z0-9_]*_(?:S|MS|US|NS|H|DAYS|BYTES|MAX|MIN|COUNT|LENGTH|PERCENT|W|M|KM_H)")
CONVERSIONS = ("DAY_S", "HOUR_S", "MINUTE_S")
"""Facts about units, no limits."""

_INTRODUCTION = """
Everything has a limit. The unit is the end of a name: `_S` seconds, `_MS` milliseconds, `_US` microseconds, `_BYTES`
bytes, `_PERCENT` percent, `_W` watts, `_M` metres; `_MAX` and `_MIN` bound a number of things. What can be set is in
[settings](settings.md); these are the rest.
"""


class Limit(NamedTuple):
    """One constant."""

    module: str
    name: str
    value: str
    meaning: str


def limits_page(root: Path) -> str:
    """Return the page."""
    sections = []
    for member in sorted(path.parent for path in root.glob("[ls]*s/*/pyproject.toml")):
        rows = [
            (code(limit.name), code(limit.value), limit.meaning, limit.module)
            for path in sorted(member.glob("src/**/*.py"))
            if "_pb2" not in path.name
            for limit in limits(_module(member, path), path.read_text())
        ]
        if rows:
            sections.append(section(member.name, table(("limit", "value", "meaning", "module"), rows)))
    return page("Limits", "constants in the sources", _INTRODUCTION, *sections)


def limits(module: str, source: str) -> Iterator[Limit]:
    """Yield the limits that a module declares."""
    lines = source.splitlines()
    body = ast.parse(source).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        for name, value in _constant(node):
            if UNITS.fullmatch(name) and name not in CONVERSIONS and _plain(value):
                yield Limit(module, name, ast.unparse(value), _text(following) or _comment(lines, node.lineno))


def _constant(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        yield node.targets[0].id, node.value
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        yield node.target.id, node.value


def _plain(value: ast.expr) -> bool:
    """Tell whether the value is a number, or made of numbers and names."""
    parts = (ast.Constant, ast.Name, ast.BinOp, ast.UnaryOp, ast.Tuple, ast.operator, ast.unaryop, ast.expr_context)
    texts = (each for each in ast.walk(value) if isinstance(each, ast.Constant) and isinstance(each.value, str))
    return all(isinstance(each, parts) for each in ast.walk(value)) and next(texts, None) is None


def _text(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return ""


def _comment(lines: list[str], number: int) -> str:
    """Return the comment behind the line, or the block above it."""
    behind = re.search(r"\s# (.*)$", lines[number - 1])
    if behind:
        return behind.group(1)
    above: list[str] = []
    while number > 1 and lines[number - 2].startswith("# "):
        number -= 1
        above.insert(0, lines[number - 1].removeprefix("# "))
    return " ".join(above)


def _module(member: Path, path: Path) -> str:
    return ".".join(path.relative_to(member / "src").with_suffix("").parts)
