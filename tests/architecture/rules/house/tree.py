"""A source tree, read and parsed once for all rules."""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

GENERATED = ("libs/api/src/", "libs/core/src/maasloop/core/reasons.py")
MEMBERS = ("libs", "services")
WITHOUT_PACKAGE = ("scripts", "tests")
_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "dist", "build"})


class Violation(NamedTuple):
    """Where a rule is broken, and how."""

    place: str
    text: str

    def __str__(self) -> str:
        """Return one line for the report."""
        return f"{self.place}: {self.text}"


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path
    """Relative to the root of the tree."""
    text: str

    @cached_property
    def syntax(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text, self.path.as_posix())

    @property
    def module(self) -> str:
        """Dotted name of a file below a ``src`` folder, otherwise an empty text."""
        parts = self.path.parts
        if "src" not in parts:
            return ""
        names = list(parts[parts.index("src") + 1 :])
        names[-1] = names[-1].removesuffix(".py")
        return ".".join(names[:-1] if names[-1] == "__init__" else names)

    @property
    def room(self) -> tuple[str, ...]:
        """Parts of the module after ``maasloop.<member>``."""
        return tuple(self.module.split(".")[2:])

    @property
    def test(self) -> bool:
        """Whether the file belongs to a ``tests`` folder."""
        return "tests" in self.path.parts

    def at(self, node: ast.stmt | ast.expr, text: str) -> Violation:
        """Return a violation at a node of this file."""
        return Violation(f"{self.path}:{node.lineno}", text)


@dataclass(frozen=True)
class Tree:
    """A checkout."""

    root: Path

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """All hand-written Python files of members, scripts and tests."""
        paths = (path for top in (*MEMBERS, *WITHOUT_PACKAGE) for path in files(self.root / top, ".py"))
        return tuple(
            Source(path, (self.root / path).read_text())
            for path in sorted(path.relative_to(self.root) for path in paths)
            if not path.as_posix().startswith(GENERATED)
        )

    @property
    def packages(self) -> Iterator[Source]:
        """Files that ship."""
        return (source for source in self.sources if source.module)

    @property
    def tests(self) -> Iterator[Source]:
        """Test modules."""
        return (source for source in self.sources if source.path.name.startswith("test_"))

    @property
    def services(self) -> list[Path]:
        """Folders of the services."""
        return sorted(path.parent for path in (self.root / "services").glob("*/pyproject.toml"))


type Rule = Callable[[Tree], Iterable[Violation]]


def files(top: Path, *suffixes: str) -> Iterator[Path]:
    """Yield the files below a folder with one of the suffixes; hidden and built folders are left out."""
    for folder, folders, names in top.walk():
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS and not name.startswith(".")]
        yield from (folder / name for name in names if name.endswith(suffixes))


def imports(source: Source) -> Iterator[tuple[ast.stmt, str]]:
    """Yield every imported name as a dotted path, relative imports resolved; ``from a import b`` gives ``a.b``."""
    package = source.module if source.path.name == "__init__.py" else source.module.rpartition(".")[0]
    for node in ast.walk(source.syntax):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*parents, *([node.module] if node.module else [])])
            yield from ((node, f"{origin}.{alias.name}") for alias in node.names)


def within(name: str, package: str) -> bool:
    """Tell whether a dotted name is the package or lies in it."""
    return name == package or name.startswith(f"{package}.")
