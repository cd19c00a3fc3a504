"""Pages of the documentation as tests run them: their blocks of shell, line by line, as a reader would."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[list[str]]:
    """Return the lines of each block of shell that a page shows."""
    return [block.strip().splitlines() for block in BLOCK.findall(page.read_text(encoding="utf-8"))]


def environment(root: Path) -> dict[str, str]:
    """Return the variables of a shell that finds ``maasloop``, and the stack of a directory with it."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "MAASLOOP_CLI__ROOT": str(root)}


def run_line(line: str, variables: Mapping[str, str], *, folder: Path, timeout_s: float = 60) -> str:
    """Run one line, and return what it prints; any status but 0 fails the test."""
    done = subprocess.run(
        ["/bin/sh", "-euc", line],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout
