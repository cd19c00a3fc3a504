"""The images that are shipped, built and run: installs podman where it is missing, builds what the tests need, runs them.

``--where-possible`` is for machines that may be unable to run containers: there it says why, and ends with status 0. What
fails after a first container has run is a failure everywhere.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import build_images
from images import machine
from images.plan import ROOT
from maasloop.stack.errors import StackError

BIN = Path(sys.executable).parent
TESTS_TIMEOUT_S = 900.0
IMAGES = ("device-registry", "cli", "nats", "timescaledb")


def main(argv: Sequence[str] | None = None) -> int:
    """Build and test; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--where-possible", action="store_true", help="end well where no container runs, and say why")
    arguments = parser.parse_args(argv)
    try:
        machine.require(install=True, log_directory=ROOT / ".maasloop" / "log")
        machine.try_out(BIN / "nats-server")
    except StackError as error:
        sys.stderr.write(f"containers: not run: {error}\n")
        return 0 if arguments.where_possible else 1
    status = build_images.main(["--quick", "--only", *IMAGES])
    if status:
        return status
    tests = [str(BIN / "pytest"), "-m", "containers", "tests/containers"]
    return subprocess.run(tests, cwd=ROOT, check=False, timeout=TESTS_TIMEOUT_S).returncode


if __name__ == "__main__":
    sys.exit(main())
