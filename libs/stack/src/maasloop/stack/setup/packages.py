"""Which packages of the distribution are missing, and the one apt call that brings them.

Installing a PostgreSQL server creates and starts a default cluster unless the machine is told otherwise. A file in
``createcluster.d`` tells it for the length of the call; the machine's own configuration is not touched.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from maasloop.stack.setup.steps import Command

TIMESCALE_PACKAGE = "postgresql-17-timescaledb"
# libsumo is linked to these; without them its import fails.
LIBRARIES = ("libx11-6", "libxext6", "libxrender1", "libgl1", "libatomic1")
CONTAINER_RUNTIMES = ("docker", "podman")

CLUSTER_SWITCH = Path("/etc/postgresql-common/createcluster.d/maasloop.conf")
APT_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive"}


@dataclass(frozen=True, slots=True)
class Machine:
    """What the decision about packages depends on."""

    apt: bool
    installed: frozenset[str]
    available: frozenset[str]
    interpreter_has_venv: bool
    container_runtime: str | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to install, what stays open, and where PostgreSQL comes from."""

    install: tuple[str, ...]
    """Packages for the one apt call."""

    container: str | None
    """Container runtime that stands in for the TimescaleDB package, if it must."""

    missing: tuple[str, ...]
    """Packages that can't be had: the set-up ends here and names them."""


def wanted_packages(machine: Machine) -> tuple[str, ...]:
    """Return every package that a machine like this needs."""
    venv = () if machine.interpreter_has_venv else (venv_package(sys.version_info[:2]),)
    return (*venv, TIMESCALE_PACKAGE, *LIBRARIES)


def venv_package(version: tuple[int, int]) -> str:
    """Return the package that gives the distribution's Python of this version its ``venv``."""
    return f"python{version[0]}.{version[1]}-venv"


def absent_packages(machine: Machine) -> tuple[str, ...]:
    """Return the wanted packages that are not installed."""
    return tuple(name for name in wanted_packages(machine) if name not in machine.installed)


def decide(machine: Machine) -> Decision:
    """Return what to do about the packages that are not there."""
    absent = absent_packages(machine)
    install = tuple(name for name in absent if machine.apt and name in machine.available)
    missing = [name for name in absent if name not in install]
    if TIMESCALE_PACKAGE in missing and machine.container_runtime is not None:
        missing.remove(TIMESCALE_PACKAGE)
        return Decision(install, machine.container_runtime, tuple(missing))
    return Decision(install, None, tuple(missing))


def install_commands(packages: tuple[str, ...]) -> list[Command]:
    """Return the one apt call, between switching the default cluster off and putting that back."""
    install = " ".join(packages)
    script = f"""set -e
made=$(test -d {CLUSTER_SWITCH.parent} || echo yes)
mkdir -p {CLUSTER_SWITCH.parent}
put_back() {{
    rm -f {CLUSTER_SWITCH}
    test -z "$made" || rmdir --ignore-fail-on-non-empty {CLUSTER_SWITCH.parent}
}}
trap put_back EXIT
echo 'create_main_cluster = false' > {CLUSTER_SWITCH}
apt-get install --yes --no-install-recommends {install}
"""
    return [Command(("sh", "-c", script), root=True, environment=APT_ENVIRONMENT)]


def update_command() -> Command:
    """Return the command that refreshes the package lists, which a fresh machine does not have."""
    return Command(("apt-get", "update"), root=True, environment=APT_ENVIRONMENT)


def installed_packages(names: tuple[str, ...]) -> frozenset[str]:
    """Return those of the packages that dpkg knows as installed."""
    if shutil.which("dpkg-query") is None:
        return frozenset()
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n", *names]
    answer = subprocess.run(query, check=False, capture_output=True, text=True)
    pairs = (line.split() for line in answer.stdout.splitlines())
    return frozenset(pair[1] for pair in pairs if pair[0] == "installed")


def available_packages(names: tuple[str, ...]) -> frozenset[str]:
    """Return those of the packages that apt can install."""
    if shutil.which("apt-cache") is None:
        return frozenset()
    query = ["apt-cache", "policy", *names]
    answer = subprocess.run(query, check=False, capture_output=True, text=True)
    found: set[str] = set()
    package = ""
    for line in answer.stdout.splitlines():
        if not line.startswith(" "):
            package = line.rstrip(":")
        elif line.strip().startswith("Candidate:") and "(none)" not in line:
            found.add(package)
    return frozenset(found)


def container_runtime() -> str | None:
    """Return the container runtime of this machine, if there is one."""
    return next((name for name in CONTAINER_RUNTIMES if shutil.which(name) is not None), None)
