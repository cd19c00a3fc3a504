"""One step of the set-up: shown while it runs, logged to a file of its own, named when it fails."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from maasloop.core.clock import SystemClock
from maasloop.stack.errors import StackError

STEP_TIMEOUT_S = 1_800.0
"""Longest step of the set-up."""
LOG_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run, as root or not, with additions to the environment."""

    arguments: tuple[str, ...]
    root: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def resolved(self, *, root_now: bool) -> list[str]:
        """Return the argument list; a command for root goes through sudo when we are not root."""
        if not self.root or root_now:
            return list(self.arguments)
        settings = [f"{key}={value}" for key, value in self.environment.items()]
        return ["sudo", "env", *settings, *self.arguments] if settings else ["sudo", *self.arguments]


class Steps:
    """Runs steps one after the other and tells the terminal about them."""

    def __init__(self, log_directory: Path) -> None:
        """Write one log file a step into this directory."""
        self._log_directory = log_directory
        self._clock = SystemClock()

    def log_path(self, name: str) -> Path:
        """Return the log file of a step."""
        return self._log_directory / f"setup-{name}.log"

    def run(self, name: str, what: str, commands: list[Command], *, next_step: str) -> None:
        """Run the commands in order; the first that fails ends the set-up with a sentence."""
        started_s = self._clock.monotonic_s()
        tell(f"setup: {name}: {what} … ", end="")
        self._log_directory.mkdir(parents=True, exist_ok=True)
        with self.log_path(name).open("wb") as log:
            for command in commands:
                self._run_one(name, command, log.fileno(), next_step)
        tell(f"{self._clock.monotonic_s() - started_s:.1f} s")

    def _run_one(self, name: str, command: Command, log: int, next_step: str) -> None:
        arguments = command.resolved(root_now=os.geteuid() == 0)
        os.write(log, f"$ {' '.join(arguments)}\n".encode())
        try:
            done = subprocess.run(
                arguments,
                check=False,
                stdout=log,
                stderr=log,
                env=os.environ | dict(command.environment),
                timeout=STEP_TIMEOUT_S,
            )
            problem = f"'{' '.join(arguments[:4])} …' ended with status {done.returncode}" if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = str(error)
        if problem:
            tell("failed")
            raise StackError(
                f"setup: {name}",
                f"{problem}\n{self._tail(name)}",
                log_path=self.log_path(name),
                next_step=next_step,
            )

    def _tail(self, name: str) -> str:
        lines = self.log_path(name).read_text(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-LOG_TAIL_LINES:])


def tell(text: str, end: str = "\n") -> None:
    """Write to the terminal at once."""
    sys.stdout.write(text + end)
    sys.stdout.flush()
