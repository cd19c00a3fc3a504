"""Rules about the size and the place of files: what can be read in one sitting, and found by its name."""

import ast
from collections.abc import Iterator

from house.tree import GENERATED, MEMBERS, Source, Tree, Violation, files

type Function = ast.FunctionDef | ast.AsyncFunctionDef

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
WRITTEN = (".py", ".sql", ".proto", ".sh", ".md", ".yaml", ".yml", ".toml", ".tpl")
TOPS = (*MEMBERS, "scripts", "tests", "proto", "deploy", "docs")
MADE = (*GENERATED, "docs/reference/")
ROOMS = ("domain", "handlers", "ports", "adapters", "entrypoints", "app", "settings", "__main__", "__init__")
CATCH_ALL = frozenset({"utils", "util", "common", "manager", "base", "misc", "helpers", "helper", "tools", "stuff"})


def short_files(tree: Tree) -> Iterator[Violation]:
    """A file has at most 400 lines; generated ones apart."""
    for path in (path for top in TOPS for path in files(tree.root / top, *WRITTEN)):
        name = path.relative_to(tree.root).as_posix()
        lines = path.read_text().count("\n")
        if lines > FILE_LINES_MAX and not name.startswith(MADE):
            yield Violation(name, f"has {lines} lines, at most {FILE_LINES_MAX} are read in one sitting")


def short_functions(tree: Tree) -> Iterator[Violation]:
    """A function has at most 70 lines."""
    for source in tree.sources:
        for function in _functions(source):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                text = f"{function.name} has {lines} lines, at most {FUNCTION_LINES_MAX} fit a screen"
                yield source.at(function, text)


def open_namespace(tree: Tree) -> Iterator[Violation]:
    """``maasloop`` is a namespace package: a file at its root hides the other members."""
    for root in sorted(tree.root.glob("*/*/src/maasloop")):
        for path in (path for path in sorted(root.iterdir()) if path.is_file()):
            yield Violation(path.relative_to(tree.root).as_posix(), "closes the namespace package maasloop")


def telling_names(tree: Tree) -> Iterator[Violation]:
    """No module has a catch-all name."""
    for source in tree.packages:
        if not CATCH_ALL.isdisjoint(source.room):
            yield Violation(source.path.as_posix(), "has a name that says nothing")


def rooms(tree: Tree) -> Iterator[Violation]:
    """Every service has the same rooms, its migrations, its tests and its page."""
    for service in tree.services:
        name = service.relative_to(tree.root).as_posix()
        inside = service / "src" / "maasloop" / service.name.replace("-", "_")
        for room in ROOMS:
            if not (inside / room / "__init__.py").is_file() and not (inside / f"{room}.py").is_file():
                yield Violation(name, f"has no {room}")
        if not list(service.rglob("migrations/[0-9][0-9][0-9][0-9]_*.sql")):
            yield Violation(name, "has no migrations/NNNN_name.sql")
        if not list(service.glob("tests/**/test_*.py")):
            yield Violation(name, "has no tests")
        if not (service / "README.md").is_file():
            yield Violation(name, "has no README.md")


def described_modules(tree: Tree) -> Iterator[Violation]:
    """Every module says why it exists."""
    for source in tree.sources:
        if not ast.get_docstring(source.syntax):
            yield Violation(source.path.as_posix(), "does not say why it exists")


def described_tests(tree: Tree) -> Iterator[Violation]:
    """Every test states the behaviour it proves."""
    for source in tree.tests:
        for function in _functions(source):
            if function.name.startswith("test_") and not ast.get_docstring(function):
                yield source.at(function, f"{function.name} does not state the behaviour it proves")


def _functions(source: Source) -> Iterator[Function]:
    return (node for node in ast.walk(source.syntax) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
