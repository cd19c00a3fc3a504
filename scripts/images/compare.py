"""Whether two buildings of an image gave the same, and if not, what differs."""

import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path

from images.machine import run

TOLD_MAX = 20


def contents(tag: str) -> Mapping[str, str]:
    """Return what makes each file of an image, by its path."""
    root = Path(run(["podman", "image", "mount", tag]).strip())
    try:
        return {str(path.relative_to(root)): _described(path) for path in sorted(root.rglob("*"))}
    finally:
        run(["podman", "image", "unmount", tag])


def _described(path: Path) -> str:
    told = path.lstat()
    parts = [f"{told.st_mode:o}", f"{told.st_uid}:{told.st_gid}", f"{told.st_mtime:.0f}"]
    if stat.S_ISLNK(told.st_mode):
        parts.append(str(path.readlink()))
    elif stat.S_ISREG(told.st_mode):
        with path.open("rb") as file:
            parts.append(hashlib.file_digest(file, "sha256").hexdigest())
    return " ".join(parts)


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return the paths that differ, the first of many."""
    differing = sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))
    more = len(differing) - TOLD_MAX
    return [*differing[:TOLD_MAX], *([f"{more} more"] if more > 0 else [])]
