"""Files that a person names: what is no text is told with the file's name."""

from pathlib import Path

import typer


def text_of(path: Path, encoding: str = "utf-8") -> str:
    """Return the text of a file; ``typer.BadParameter`` where it holds something else, ``OSError`` where nobody can read it."""
    try:
        return path.read_text(encoding=encoding)
    except UnicodeDecodeError:
        message = f"{path} is no text"
        raise typer.BadParameter(message) from None
