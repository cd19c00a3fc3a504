"""The set-up as a list of steps, each skipped when its result is there."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from maasloop.core.clock import SystemClock
from maasloop.stack.errors import StackError
from maasloop.stack.setup import environment, packages
from maasloop.stack.setup.steps import Steps, tell


def main() -> int:
    """Set up the checkout in the current directory; return the exit status."""
    clock = SystemClock()
    started_s = clock.monotonic_s()
    skipped = os.environ.get("MAASLOOP_SKIPPED_PYTHONS")
    try:
        changed = set_up(Path.cwd(), skipped)
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nsetup: interrupted; run it again to go on\n")
        return 130
    if changed:
        tell(f"setup: done in {clock.monotonic_s() - started_s:.1f} s")
    return 0


def set_up(root: Path, skipped_pythons: str | None) -> bool:
    """Bring the checkout to the state of its lock file; return whether there was anything to do."""
    steps = Steps(root / ".maasloop" / "log")
    machine = look(available=frozenset())
    decision = packages.decide(machine)
    if not decision.missing and environment.up_to_date(root, environment.fingerprint(root, decision.container)):
        return False
    if skipped_pythons:
        tell(f"setup: python: {environment.interpreter()}; skipped {skipped_pythons}")
    if packages.absent_packages(machine):
        decision = install_packages(steps)
    if not environment.uv_binary(root).exists():
        steps.run(
            "uv", "installer in .uv/", environment.uv_commands(root), next_step="check the network, then make setup"
        )
    steps.run(
        "packages",
        "locked Python packages in .venv/",
        environment.sync_commands(root),
        next_step="check the network; if it stays, delete .venv/ and .uv/, then make setup",
    )
    environment.remember(root, environment.fingerprint(root, decision.container))
    return True


def look(available: frozenset[str]) -> packages.Machine:
    """Describe this machine; ``available`` is what apt can install, which takes a second to ask."""
    machine = packages.Machine(
        apt=shutil.which("apt-get") is not None,
        installed=frozenset(),
        available=available,
        interpreter_has_venv=importlib.util.find_spec("ensurepip") is not None,
        container_runtime=packages.container_runtime(),
    )
    installed = packages.installed_packages(packages.wanted_packages(machine))
    return packages.Machine(machine.apt, installed, available, machine.interpreter_has_venv, machine.container_runtime)


def install_packages(steps: Steps) -> packages.Decision:
    """Install what is missing with one call, or say what a person must do."""
    before = look(available=frozenset())
    wanted = packages.wanted_packages(before)
    if before.apt:
        need_root(before)
        steps.run("lists", "package lists", [packages.update_command()], next_step="check the network and /etc/apt")
    machine = look(available=packages.available_packages(wanted))
    decision = packages.decide(machine)
    if decision.missing:
        raise StackError(
            "setup: system packages",
            f"this distribution has no {', '.join(decision.missing)}",
            next_step="install docker or podman, whose official image stands in for TimescaleDB, or use Debian 13 or later",
        )
    if decision.install:
        steps.run(
            "system",
            " ".join(decision.install),
            packages.install_commands(decision.install),
            next_step="run 'apt-get install --no-install-recommends " + " ".join(decision.install) + "' by hand",
        )
    return decision


def need_root(machine: packages.Machine) -> None:
    """Refuse early, with the command to run, when packages are missing and we may not install any."""
    if os.geteuid() == 0 or shutil.which("sudo") is not None:
        return
    absent = packages.absent_packages(machine)
    raise StackError(
        "setup: system packages",
        f"{', '.join(absent)} missing, and there is neither root nor sudo",
        next_step=f"as root: apt-get install --no-install-recommends {' '.join(absent)}",
    )
