"""One child process that can be stopped, killed, paused and started again on the same command.

No child outlives us: the kernel sends each its death signal when the thread that started it ends. So children are
started from the main thread only. Nothing here signals a process that it did not start.
"""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from maasloop.stack.account import Account, as_account
from maasloop.stack.errors import StackError

STOP_TIMEOUT_S = 10.0
"""What a process gets to end before it is killed."""
KILL_TIMEOUT_S = 10.0
"""Longest wait for the kernel to end a killed process."""
LOG_MAX_BYTES = 32 * 1024**2
"""Size from which a log is begun anew: whoever is refused can make a process write lines for ever."""
LOG_KEPT_BYTES = 1024**2
"""What is kept of the end of the log before."""


class ManagedProcess:
    """A named child process with a log file."""

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        log_path: Path,
        environment: Mapping[str, str] | None = None,
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: str = "KILL",
    ) -> None:
        """Describe the process; nothing starts yet."""
        self.name = name
        self.log_path = log_path
        self._command = as_account(account, die_with_parent(command), death_signal=death_signal)
        self._environment = environment
        self._stop_signal = stop_signal
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running child."""
        if self._child is None:
            raise StackError(self.name, "is not started")
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the child runs (a paused one does)."""
        return self._child is not None and self._child.poll() is None

    @property
    def exit_status(self) -> int | None:
        """Status of the last run, negative for a signal; None while it runs or before the first start."""
        return None if self._child is None else self._child.poll()

    def start(self) -> None:
        """Start the child in a process group of its own, so that Ctrl-C reaches the supervisor alone."""
        if self.alive:
            raise StackError(self.name, f"already runs with pid {self.pid}")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=None if self._environment is None else dict(self._environment),
                cwd="/",
                start_new_session=True,
            )

    def request_stop(self) -> None:
        """Ask the child to end; a paused one is woken for it."""
        if self.alive:
            os.kill(self.pid, signal.SIGCONT)
            os.kill(self.pid, self._stop_signal)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ask the child to end, wait, and kill it when it does not."""
        if self._child is None:
            return
        self.request_stop()
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill9()

    def kill9(self) -> None:
        """Kill the child and all it started with SIGKILL, as a crash does, and wait until they are gone."""
        if self._child is None or not self.alive:
            return
        victims = [self.pid, *descendants(self.pid)]
        for pid in victims:
            kill_if_there(pid, signal.SIGKILL)
        self._child.wait(KILL_TIMEOUT_S)

    def pause(self) -> None:
        """Freeze the child where it stands (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused child go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def cap_log(self, max_bytes: int = LOG_MAX_BYTES) -> bool:
        """Begin the log anew where it is too large, and say whether it was; the child appends, so it need not know.

        Its last part is kept beside it. Lines that are written meanwhile are lost.
        """
        if not self.log_path.exists() or (size := self.log_path.stat().st_size) <= max_bytes:
            return False
        with self.log_path.open("rb") as log:
            log.seek(max(0, size - LOG_KEPT_BYTES))
            kept = log.read(LOG_KEPT_BYTES)
        os.truncate(self.log_path, 0)
        self.log_path.with_suffix(".log.before").write_bytes(kept)
        return True

    def log_tail(self, lines_max: int = 20) -> str:
        """Return the last lines of the log file."""
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines_max:])


def die_with_parent(command: list[str]) -> list[str]:
    """Return the command, not run when we died before the kernel was asked for the death signal."""
    return ["sh", "-c", 'test "$PPID" = "$0" && exec "$@"', str(os.getpid()), *command]


def descendants(pid: int) -> list[int]:
    """Return the ids of all processes below this one."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The command in parentheses may hold blanks; the parent is the second field after it.
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found: list[int] = []
    open_ends = [pid]
    while open_ends:
        children = parents.get(open_ends.pop(), [])
        found += children
        open_ends += children
    return found


def kill_if_there(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
