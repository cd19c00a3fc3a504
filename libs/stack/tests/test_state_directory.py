"""One stack a checkout, its addresses in one file, its data where the database's account can go."""

import subprocess
import sys
from pathlib import Path

import pytest

from maasloop.stack import state as state_module
from maasloop.stack.account import Account
from maasloop.stack.errors import StackError, StackRunningError
from maasloop.stack.state import OperatorFiles, ServiceAddresses, StackState, StateDirectory, find_root

STATE = StackState(
    pid=1,
    ready=True,
    nats_url="nats://127.0.0.1:1",
    mqtt_host="127.0.0.1",
    mqtt_port=2,
    nats_monitor_url="http://127.0.0.1:3",
    postgres_dsn="postgresql://postgres@127.0.0.1:4/maasloop",
    service_dsns={"ingest": "postgresql://maasloop_ingest@127.0.0.1:4/maasloop"},
    services={"ingest": ServiceAddresses("127.0.0.1:5", "127.0.0.1:6", "127.0.0.1:7")},
    pids={"nats": 8},
    operator=OperatorFiles("/o.crt", "/o.key", "/ca.crt"),
)


def test_the_state_file_reads_back_as_written() -> None:
    """stack.json holds the whole state."""
    assert StackState.from_json(STATE.to_json()) == STATE


def test_a_directory_that_cannot_be_used_is_told_in_a_line(tmp_path: Path) -> None:
    """Where nothing can be written the command names the file, and shows nobody its own code."""
    (tmp_path / ".maasloop").write_text("")
    command = [sys.executable, "-m", "maasloop.stack", "up", "--root", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert done.stderr.splitlines() == [done.stderr.strip()]
    assert ".maasloop" in done.stderr


def test_a_second_stack_says_who_runs(tmp_path: Path) -> None:
    """While one holds the state directory another is refused with a sentence; afterwards it may."""
    first, second = StateDirectory(tmp_path), StateDirectory(tmp_path)

    with first.hold():
        first.write(STATE)
        assert second.holder() is not None
        assert second.read() == STATE
        with pytest.raises(StackRunningError, match="already runs"), second.hold():
            pass

    assert second.holder() is None
    with pytest.raises(StackError, match="no stack runs"):
        second.read()
    with second.hold():
        pass


def test_a_killed_stack_leaves_no_lock(tmp_path: Path) -> None:
    """The lock goes with its process, so a stale file stops nobody."""
    program = (
        "import os, pathlib, signal, sys\n"
        "from maasloop.stack.state import StateDirectory\n"
        "with StateDirectory(pathlib.Path(sys.argv[1])).hold():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    directory = StateDirectory(tmp_path)

    assert directory.lock_file.exists()
    assert directory.holder() is None
    with directory.hold():
        pass


def test_data_lies_in_the_checkout_when_the_account_can_enter(tmp_path: Path) -> None:
    """Without another account the data stays under .maasloop/."""
    directory = StateDirectory(tmp_path)

    assert directory.postgres(None) == tmp_path / ".maasloop" / "postgres"


def test_data_lies_elsewhere_when_the_account_cannot_enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout that the account cannot enter gets a link to a place that belongs to this checkout alone."""
    monkeypatch.setattr(state_module, "ELSEWHERE", tmp_path / "elsewhere")
    monkeypatch.setattr(state_module, "can_enter", lambda *_: False)
    account = Account("postgres", 101, 104)
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()

    place = StateDirectory(one).postgres(account)

    assert place.is_relative_to(tmp_path / "elsewhere")
    assert (one / ".maasloop" / "postgres").resolve() == place
    assert StateDirectory(one).postgres(account) == place
    assert StateDirectory(other).postgres(account) != place


def test_the_root_is_found_from_below(tmp_path: Path) -> None:
    """A command works from any folder of the checkout."""
    (tmp_path / "uv.lock").write_text("")
    below = tmp_path / "libs" / "deep"
    below.mkdir(parents=True)

    assert find_root(below) == tmp_path
