"""The set-up installs what is missing, once, and says what it cannot get."""

import subprocess
import sys
from pathlib import Path

import pytest

from maasloop.stack.errors import StackError
from maasloop.stack.setup import environment, plan
from maasloop.stack.setup.packages import (
    CLUSTER_SWITCH,
    LIBRARIES,
    TIMESCALE_PACKAGE,
    Decision,
    Machine,
    absent_packages,
    decide,
    install_commands,
    venv_package,
)
from maasloop.stack.setup.steps import Command, Steps

SETUP = Path(__file__).parents[3] / "scripts" / "setup"
VENV = venv_package(sys.version_info[:2])
ALL = frozenset({VENV, TIMESCALE_PACKAGE, *LIBRARIES})


def machine(
    *,
    apt: bool = True,
    installed: frozenset[str] = frozenset(),
    available: frozenset[str] = ALL,
    venv: bool = False,
    container: str | None = None,
) -> Machine:
    """Describe a machine, a bare Debian unless said."""
    return Machine(apt, installed, available, venv, container)


def test_a_bare_debian_gets_everything_in_one_call() -> None:
    """All wanted packages go into one list, and its one apt call takes no recommended packages."""
    decision = decide(machine())

    assert decision == Decision((VENV, TIMESCALE_PACKAGE, *LIBRARIES), None, ())
    script = install_commands(decision.install)[0].arguments[-1]
    assert script.count("apt-get install --yes --no-install-recommends") == 1
    assert all(name in script for name in ALL)


def test_only_what_is_missing_is_installed() -> None:
    """Packages that are there stay out of the call."""
    decision = decide(machine(installed=ALL - {"libgl1"}))

    assert decision.install == ("libgl1",)


def test_an_interpreter_with_venv_needs_no_package_for_it() -> None:
    """A Python that was not made by the distribution brings its own venv."""
    assert VENV not in absent_packages(machine(venv=True))


def test_a_container_stands_in_for_the_timescale_package_only() -> None:
    """Without the package a container runtime is taken; missing libraries still end the set-up."""
    without = ALL - {TIMESCALE_PACKAGE}

    assert decide(machine(available=without, container="podman")).container == "podman"
    assert decide(machine(available=ALL, container="podman")).container is None
    assert decide(machine(available=without)).missing == (TIMESCALE_PACKAGE,)
    assert decide(machine(available=without - {"libgl1"}, container="docker")).missing == ("libgl1",)


def test_the_default_cluster_is_off_only_during_the_call(tmp_path: Path) -> None:
    """The switch is there while apt runs and gone afterwards, also when apt fails."""
    for status in (0, 7):
        fake = tmp_path / "apt-get"
        seen = tmp_path / "seen"
        switch = tmp_path / "createcluster.d" / CLUSTER_SWITCH.name
        fake.write_text(f"#!/bin/sh\ncat {switch} > {seen}\nexit {status}\n")
        fake.chmod(0o755)
        script = install_commands(("x",))[0].arguments[-1].replace(str(CLUSTER_SWITCH.parent), str(switch.parent))

        done = subprocess.run(
            ["/bin/sh", "-c", script], check=False, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, cwd=tmp_path
        )

        assert done.returncode == status
        assert seen.read_text() == "create_main_cluster = false\n"
        assert not switch.parent.exists()


def test_root_commands_go_through_sudo_with_their_environment() -> None:
    """Without root a command for root runs under sudo, which drops the environment, so it is handed on."""
    command = Command(("apt-get", "update"), root=True, environment={"DEBIAN_FRONTEND": "noninteractive"})

    assert command.resolved(root_now=True) == ["apt-get", "update"]
    assert command.resolved(root_now=False) == ["sudo", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "update"]
    assert Command(("true",)).resolved(root_now=False) == ["true"]


def test_a_failed_step_names_itself_its_log_and_the_next_thing(tmp_path: Path) -> None:
    """The message of a failed step holds the step, the log file, the last lines and the advice."""
    steps = Steps(tmp_path)

    with pytest.raises(StackError) as caught:
        steps.run("uv", "installer", [Command(("sh", "-c", "echo no route; exit 3"))], next_step="check the network")

    message = str(caught.value)
    for part in ("setup: uv", "status 3", "no route", str(tmp_path / "setup-uv.log"), "check the network"):
        assert part in message


def test_a_package_nobody_has_ends_the_set_up_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When apt knows no TimescaleDB and no container runtime is there, the sentence says what to use."""
    bare = machine(apt=False, available=frozenset())
    monkeypatch.setattr(plan, "look", lambda **_: bare)

    with pytest.raises(StackError, match=r"this distribution has no .*postgresql-17-timescaledb"):
        plan.install_packages(Steps(tmp_path))


def test_the_stamp_changes_with_the_lock_and_the_members(tmp_path: Path) -> None:
    """A new lock or another member makes the next set-up work again; nothing else does."""
    member = tmp_path / "libs" / "one" / "pyproject.toml"
    member.parent.mkdir(parents=True)
    for path in (tmp_path / "uv.lock", tmp_path / "pyproject.toml", member):
        path.write_text("a")
    first = environment.fingerprint(tmp_path, None)

    assert environment.fingerprint(tmp_path, None) == first
    member.write_text("b")
    assert environment.fingerprint(tmp_path, None) != first
    assert environment.fingerprint(tmp_path, "docker") != environment.fingerprint(tmp_path, None)


def _interpreter(directory: Path, name: str, *, fits: bool) -> Path:
    """Write a program that behaves as a Python which does or does not fit."""
    path = directory / name
    path.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        f"  -c) exit {0 if fits else 1} ;;\n"
        f"  --version) echo Python {'3.12.9' if fits else '3.11.7'} ;;\n"
        f'  *) echo "{path} set up; skipped: $MAASLOOP_SKIPPED_PYTHONS" ;;\n'
        "esac\n"
    )
    path.chmod(0o755)
    return path


def _run_setup(directory: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    for tool in ("bash", "dirname", "head"):
        (directory / tool).symlink_to(f"/usr/bin/{tool}")
    return subprocess.run(
        [str(directory / "bash"), str(SETUP)],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": str(directory), **extra},
    )


def test_an_old_python_is_skipped_with_a_word(tmp_path: Path) -> None:
    """The first python3 of PATH may be too old; a later name that fits is taken."""
    _interpreter(tmp_path, "python3", fits=False)
    good = _interpreter(tmp_path, "python3.13", fits=True)

    done = _run_setup(tmp_path)

    assert f"{good} set up" in done.stdout
    assert "python3 (Python 3.11.7)" in done.stdout


def test_a_named_python_is_taken(tmp_path: Path) -> None:
    """MAASLOOP_PYTHON is taken instead of any on PATH."""
    _interpreter(tmp_path, "python3", fits=True)
    named = _interpreter(tmp_path, "mine", fits=True)

    done = _run_setup(tmp_path, MAASLOOP_PYTHON=str(named))

    assert f"{named} set up" in done.stdout


def test_no_python_is_one_sentence(tmp_path: Path) -> None:
    """Without a fitting Python the set-up ends with what to install."""
    old = _interpreter(tmp_path, "python3", fits=False)

    done = _run_setup(tmp_path, MAASLOOP_PYTHON=str(old))

    assert done.returncode == 1
    assert "no Python 3.12 or newer" in done.stderr
