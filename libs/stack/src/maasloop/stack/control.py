"""``make up``, ``make down``, ``make status``: a stack in the background, run by a process of its own.

``up`` starts that process in its own session, waits until the stack is ready and leaves it; ``down`` asks it to end and
waits. Who holds the lock of the state directory is who is meant, so no other process is ever signalled.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from maasloop.core.clock import SystemClock
from maasloop.stack.errors import StackError
from maasloop.stack.local import LocalStack, StackOptions
from maasloop.stack.state import StackState, StateDirectory

UP_TIMEOUT_S = 90.0
"""Longest wait of `make up` for a ready stack."""
DOWN_TIMEOUT_S = 60.0
"""Longest wait of `make down`."""
POLL_S = 0.1
"""Pause between two looks at a stack in the background."""
LOG_NAME = "stack.log"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def start_in_background(root: Path, progress: Callable[[str], None], *, servers_only: bool = False) -> StackState:
    """Start a stack that outlives us and return its addresses when it is ready."""
    directory = StateDirectory(root)
    directory.require_free()
    options = ["--servers-only"] if servers_only else []
    log_path = directory.logs / LOG_NAME
    directory.logs.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "maasloop.stack", "run", "--root", str(directory.root), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        return _wait_until_up(directory, child, log_path, progress)
    except BaseException:
        child.terminate()
        child.wait(DOWN_TIMEOUT_S)
        raise


def _wait_until_up(
    directory: StateDirectory, child: subprocess.Popen[bytes], log_path: Path, progress: Callable[[str], None]
) -> StackState:
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + UP_TIMEOUT_S
    shown = 0
    while True:
        lines = log_path.read_text(errors="replace").splitlines()
        for line in lines[shown:]:
            progress(line)
        shown = len(lines)
        if child.poll() is not None:
            raise StackError("stack", f"ended with status {child.returncode}", log_path=log_path)
        if directory.stack_file.exists() and (state := directory.read()).ready:
            # The child outlives us on purpose.
            child.returncode = 0
            return state
        if clock.monotonic_s() > deadline_s:
            raise StackError("stack", f"not ready after {UP_TIMEOUT_S:.0f} s", log_path=log_path)
        time.sleep(POLL_S)


def stop_in_background(root: Path) -> bool:
    """Ask the stack of this directory to end and wait until it has; return whether one ran."""
    directory = StateDirectory(root)
    holder = directory.holder()
    if holder is None:
        return False
    os.kill(holder, signal.SIGTERM)
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + DOWN_TIMEOUT_S
    while directory.holder() == holder:
        if clock.monotonic_s() > deadline_s:
            raise StackError("stack", f"process {holder} does not end", next_step=f"kill {holder}")
        time.sleep(POLL_S)
    return True


async def run_until_signalled(root: Path, options: StackOptions) -> None:
    """Run a stack until SIGTERM or Ctrl-C; raise when a process of it is given up.

    The first signal stops the stack in order. A second one is not waited for: the process ends, and its children with
    it.
    """
    loop = asyncio.get_running_loop()
    running = asyncio.current_task()

    def end() -> None:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
        if running is not None:
            running.cancel()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, end)
    try:
        async with LocalStack(root, options) as stack:
            await stack.run()
    except asyncio.CancelledError:
        return
