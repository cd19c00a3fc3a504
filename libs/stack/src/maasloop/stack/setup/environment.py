"""The two virtual environments: ``.uv`` holds the installer, ``.venv`` what Maasloop is made of.

uv installs exactly what ``uv.lock`` names and takes the interpreter it is given: it downloads none. Bytecode is compiled
here, because six services that start at once would each compile it again.
"""

import hashlib
import os
import sys
from pathlib import Path

from maasloop.stack.setup.steps import Command

UV_REQUIREMENT = "uv>=0.13.8,<0.14"
STAMP = Path(".venv/maasloop-setup-stamp")


def interpreter() -> str:
    """Return the Python that runs us, behind the links of whatever virtual environment is active."""
    return os.path.realpath(sys.executable)


def uv_binary(root: Path) -> Path:
    """Return where uv is installed to."""
    return root / ".uv" / "bin" / "uv"


def uv_commands(root: Path) -> list[Command]:
    """Return the commands that install uv into an environment of its own."""
    private = root / ".uv"
    return [
        Command((interpreter(), "-m", "venv", "--clear", str(private))),
        Command((str(private / "bin" / "python"), "-m", "pip", "install", "--quiet", UV_REQUIREMENT)),
    ]


def sync_commands(root: Path) -> list[Command]:
    """Return the command that makes ``.venv`` equal to the lock file."""
    arguments = (
        str(uv_binary(root)), "sync", "--frozen", "--directory", str(root), "--python", interpreter(), "--no-progress",
    )  # fmt: skip
    return [Command(arguments, environment={"UV_PYTHON_DOWNLOADS": "never", "UV_COMPILE_BYTECODE": "1"})]


def fingerprint(root: Path, container: str | None) -> str:
    """Return a digest of all that decides what ``.venv`` holds."""
    digest = hashlib.sha256()
    digest.update(f"{interpreter()} {sys.version_info} {container} {root}".encode())
    for path in [root / "uv.lock", root / "pyproject.toml", *sorted(root.glob("*/*/pyproject.toml"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def up_to_date(root: Path, expected: str) -> bool:
    """Say whether the environments were made from just this state."""
    stamp = root / STAMP
    return uv_binary(root).exists() and stamp.exists() and stamp.read_text() == expected


def remember(root: Path, value: str) -> None:
    """Write the stamp of a finished set-up."""
    (root / STAMP).write_text(value)
