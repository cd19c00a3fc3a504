"""Children can be stopped, killed, paused and started again, and none outlives its parent."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maasloop.stack.account import Account, as_account
from maasloop.stack.errors import StackError
from maasloop.stack.process import ManagedProcess, descendants
from maasloop.stack.waiting import wait_until_ready


def _wait_gone(pid: int) -> None:
    """Return when the process has ended (a zombie has); the test's own time limit is the deadline."""
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.01)


def test_no_child_outlives_a_killed_parent(tmp_path: Path) -> None:
    """The kernel ends the children of a parent that was killed with SIGKILL."""
    program = (
        "import pathlib, sys, time\n"
        "from maasloop.stack.process import ManagedProcess\n"
        "child = ManagedProcess('sleeper', ['sleep', '1000'], log_path=pathlib.Path(sys.argv[1]))\n"
        "child.start()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.stdout.close()

    parent.kill()
    parent.wait()

    _wait_gone(pid)


def test_kill9_takes_the_grandchildren_along(tmp_path: Path) -> None:
    """A killed process leaves nothing of its own behind."""
    process = ManagedProcess("family", ["sh", "-c", "sleep 1000 & sleep 1000 & wait"], log_path=tmp_path / "log")
    process.start()
    while len(family := descendants(process.pid)) < 2:
        time.sleep(0.01)

    process.kill9()

    assert process.exit_status == -signal.SIGKILL
    for pid in family:
        _wait_gone(pid)


def test_a_deaf_process_is_killed_after_the_time_out(tmp_path: Path) -> None:
    """Who ignores SIGTERM is killed."""
    process = ManagedProcess("deaf", ["sh", "-c", "trap '' TERM; echo deaf; sleep 1000"], log_path=tmp_path / "log")
    process.start()
    wait_until_ready(process, lambda: "deaf" in process.log_tail(), 10.0)

    process.stop(timeout_s=0.2)

    assert process.exit_status == -signal.SIGKILL


def test_a_paused_process_can_be_stopped(tmp_path: Path) -> None:
    """SIGSTOP keeps a process alive, and stopping wakes it first."""
    process = ManagedProcess("paused", ["sleep", "1000"], log_path=tmp_path / "log")
    process.start()
    process.pause()

    assert process.alive

    process.stop()
    assert not process.alive


def test_a_process_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    """Waiting for a process that ended raises at once, with the end of its log and the file."""
    process = ManagedProcess("brief", ["sh", "-c", "echo no disk; exit 4"], log_path=tmp_path / "brief.log")
    process.start()

    with pytest.raises(StackError) as caught:
        wait_until_ready(process, lambda: False, 30.0)

    for part in ("brief", "status 4", "no disk", str(tmp_path / "brief.log")):
        assert part in str(caught.value)


def test_a_change_of_account_comes_before_the_death_signal() -> None:
    """Both are asked of one setpriv, which asks the kernel for the signal last; nothing is wrapped without need."""
    account = Account("postgres", 101, 104)

    assert as_account(account, ["x"], death_signal="INT") == [
        "setpriv", "--reuid=101", "--regid=104", "--init-groups", "--pdeathsig", "INT", "--", "x",
    ]  # fmt: skip
    assert as_account(None, ["x"]) == ["x"]


def test_a_log_that_is_too_large_begins_anew(tmp_path: Path) -> None:
    """A process that goes on writing has a bounded log; the end of what it wrote before is kept once."""
    program = "import time\nfor number in range(20_000): print(number, flush=True), time.sleep(0.001)"
    chatty = ManagedProcess("chatty", [sys.executable, "-c", program], log_path=tmp_path / "chatty.log")
    limit, largest, cuts = 400, 0, 0
    chatty.start()
    try:
        while cuts < 3:
            largest = max(largest, chatty.log_path.stat().st_size)
            cuts += chatty.cap_log(limit)
            time.sleep(0.01)
        while not (anew := chatty.log_path.read_bytes()):
            time.sleep(0.01)
    finally:
        chatty.kill9()

    before = (tmp_path / "chatty.log.before").read_bytes()
    assert largest > limit
    assert len(before) > limit
    assert anew[:1].isdigit()
    assert {path.name for path in tmp_path.iterdir()} == {"chatty.log", "chatty.log.before"}
