"""The programs that images are made with: found, installed where apt can, or named in a sentence."""

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from maasloop.stack.errors import StackError
from maasloop.stack.setup import packages
from maasloop.stack.setup.steps import Steps

PACKAGES = ("podman", "buildah", "runc", "nftables", "netavark", "aardvark-dns", "catatonit", "debootstrap")
"""Debian's packages: podman with a runtime, a network whose containers find each other by name, and the base's maker."""
PROGRAMS = ("podman", "debootstrap")
COMMAND_TIMEOUT_S = 1_800.0
TRIAL_TIMEOUT_S = 60.0
LAST_LINES = 15
LIMITS = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}


def require(*, install: bool, log_directory: Path) -> None:
    """Raise ``StackError`` where a program is missing, after an attempt to install it if that is wished."""
    installable = install and os.geteuid() == 0 and shutil.which("apt-get") is not None
    absent = tuple(sorted(set(PACKAGES) - packages.installed_packages(PACKAGES))) if installable else ()
    if absent:
        Steps(log_directory).run(
            "containers",
            " ".join(absent),
            [packages.update_command(), *packages.install_commands(absent)],
            next_step="check the network and /etc/apt",
        )
    missing = [name for name in PROGRAMS if _found(name) is None]
    if missing:
        raise StackError(
            "images",
            f"{' and '.join(missing)} not found",
            next_step=f"as root: apt-get install --no-install-recommends {' '.join(PACKAGES)}",
        )
    if os.geteuid() != 0:
        raise StackError("images", "debootstrap needs root", next_step="run it as root, or with --base IMAGE")


def try_out(program: Path) -> None:
    """Raise ``StackError`` where no container runs here; ``program`` is linked statically and knows ``--version``.

    The container has a network of its own, as those of ``make kube-play`` have.
    """
    with tempfile.TemporaryDirectory(prefix="maasloop-trial-") as scratch:
        shutil.copy2(program, Path(scratch) / "program")
        options = ["--rm", "--network=bridge", "--read-only", "--cap-drop=ALL"]
        run(["podman", "run", *options, "--rootfs", scratch, "/program", "--version"], timeout_s=TRIAL_TIMEOUT_S)


def _found(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def run(
    arguments: Sequence[str], *, given: bytes = b"", timeout_s: float = COMMAND_TIMEOUT_S, errors_too: bool = False
) -> str:
    """Run a command and return what it prints; ``StackError`` with its last lines where it fails."""
    command = [_found(arguments[0]) or arguments[0], *arguments[1:]]
    quiet = {**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
    try:
        done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=timeout_s, env=quiet)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(arguments[0], str(error)) from error
    if done.returncode:
        told = (done.stdout + done.stderr).decode(errors="replace").splitlines()[-LAST_LINES:]
        raise StackError(" ".join(arguments[:3]), "\n    ".join([f"ended with status {done.returncode}", *told]))
    return (done.stdout + (done.stderr if errors_too else b"")).decode(errors="replace")


def build_limits() -> list[str]:
    """Return options that give a build the hard limits of this process: it may not ask for more."""
    return [f"--ulimit={name}={hard}:{hard}" for name, hard in _hard_limits().items()]


def _hard_limits() -> dict[str, int]:
    return {name: resource.getrlimit(which)[1] for name, which in LIMITS.items()}
