"""Rules about what people read: each link leads somewhere, and each page can be found."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath

from house.tree import Tree, Violation, files

LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")
TOPS = ("deploy", "docs", "examples", "libs", "services")


def leading_links(tree: Tree) -> Iterator[Violation]:
    """Every relative link of a page leads to a file or folder."""
    for page, target in _links(tree):
        if not (tree.root / target).exists():
            yield Violation(str(page), f"links {target}, which is not there")


def found_pages(tree: Tree) -> Iterator[Violation]:
    """Every page of ``docs`` is linked by another page, by itself or by the folder it lies in."""
    known = {target for page, target in _links(tree) if page != target}
    for page in files(tree.root / "docs", ".md"):
        place = PurePosixPath(page.relative_to(tree.root).as_posix())
        if place not in known and place.parent not in known:
            yield Violation(str(place), "no page links it")


def _links(tree: Tree) -> Iterator[tuple[PurePosixPath, PurePosixPath]]:
    """Yield pages with what they link to, both as seen from the root."""
    for path in _pages(tree.root):
        page = PurePosixPath(path.relative_to(tree.root).as_posix())
        for link in LINK.findall(path.read_text()):
            yield page, PurePosixPath(normpath(page.parent / link))


def _pages(root: Path) -> Iterator[Path]:
    yield from root.glob("*.md")
    for top in TOPS:
        yield from files(root / top, ".md")
