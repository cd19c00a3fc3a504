"""Files that only their owner may read: written in one step, never readable by others in between."""

import os
import tempfile
from pathlib import Path

DIRECTORY_MODE = 0o700


def secret_directory(path: Path) -> Path:
    """Return the directory, made with mode 0700; one that exists gets that mode."""
    path.mkdir(parents=True, exist_ok=True, mode=DIRECTORY_MODE)
    path.chmod(DIRECTORY_MODE)
    return path


def write_secret(path: Path, content: bytes) -> None:
    """Replace a file of mode 0600 in one step; whoever reads meanwhile sees the old or the new one whole."""
    # mkstemp makes the file 0600 from the first moment.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
