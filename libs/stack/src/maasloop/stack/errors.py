"""The one error of the local stack: what failed, where to read on, what to try next."""

from pathlib import Path


class StackError(Exception):
    """A step of the local stack failed; the message is made for the person at the terminal."""

    def __init__(self, step: str, problem: str, *, log_path: Path | None = None, next_step: str = "") -> None:
        """Put the step, the problem, the log file and the next thing to try into one message."""
        self.step = step
        self.log_path = log_path
        parts = [f"{step}: {problem}"]
        if log_path is not None:
            parts.append(f"log file: {log_path}")
        if next_step:
            parts.append(f"next: {next_step}")
        super().__init__("\n  ".join(parts))


class StackRunningError(StackError):
    """Another stack holds the state directory."""
