"""Pieces of Markdown that all reference pages are made of."""

from collections.abc import Iterable, Sequence

MARK = "by `make docs`; never edited"
"""Tells a generated page from one written by hand."""


def page(title: str, source: str, *parts: str) -> str:
    """Return a page with its origin."""
    head = f"# {title}\n\n<!-- Generated from {source} {MARK}. -->\n"
    return "\n".join([head, *(part.strip("\n") + "\n" for part in parts if part.strip())])


def section(title: str, *parts: str, level: int = 2) -> str:
    """Return a heading and what stands below it."""
    body = "\n\n".join(part.strip("\n") for part in parts if part.strip())
    return f"{'#' * level} {title}\n\n{body}\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; an empty text where there are no rows."""
    lines = [" | ".join(_cell(cell) for cell in row) for row in rows]
    if not lines:
        return ""
    return "\n".join(f"| {line} |" for line in (" | ".join(head), " | ".join("---" for _ in head), *lines))


def code(text: str) -> str:
    """Return the text as code, nothing for nothing."""
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
