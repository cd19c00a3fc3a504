"""Large blocks go back to the system, whatever was allocated after them."""

import subprocess
import sys

PROGRAM = """
import sys
from pathlib import Path
from maasloop.runtime.allocating import keep_large_apart

def resident_mib():
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))) / 1024

if sys.argv[1] == "apart":
    keep_large_apart()
before = resident_mib()
for _ in range(2):
    blocks = [b"x" * (6 << 20) for _ in range(10)]
    above = b"y" * 100_000
    del blocks
print(resident_mib() - before)
"""


def _left_mib(how: str) -> float:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, timeout=60, check=True)
    return float(done.stdout)


def test_freed_blocks_are_given_back() -> None:
    """What was freed is no longer resident; without the setting it is, because something lies above it."""
    assert _left_mib("apart") < 10
    assert _left_mib("as glibc does") > 50
