"""Waiting for something that another process does, with a limit."""

import time
from collections.abc import Callable

from maasloop.core.clock import SystemClock
from maasloop.stack.errors import StackError
from maasloop.stack.process import ManagedProcess

POLL_S = 0.01
"""Pause between two looks."""


def wait_until_ready(process: ManagedProcess, ready: Callable[[], bool], timeout_s: float) -> None:
    """Block until ``ready`` holds; raise with the end of the log when the process ends or time runs out."""
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + timeout_s
    while not ready():
        if not process.alive:
            problem = f"ended with status {process.exit_status}\n{process.log_tail()}"
        elif clock.monotonic_s() > deadline_s:
            problem = f"not ready after {timeout_s:.0f} s\n{process.log_tail()}"
        else:
            time.sleep(POLL_S)
            continue
        raise StackError(process.name, problem, log_path=process.log_path, next_step="read the log file")
