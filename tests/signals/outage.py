"""A time in which nobody decides: whether the street went back to its local programmes, and was taken over again."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Outage:
    """The controllers are killed at one second and, if ever, started again at another."""

    kill_at: int | None
    restart_at: int | None
    local_after_s: int | None = None
    """Seconds after the kill until every junction followed its local programme."""
    remote_after_s: int | None = None
    """Seconds after the restart until every junction was under control again."""

    def lasts(self, second: int) -> bool:
        """Tell whether nobody decides in this second."""
        killed = self.kill_at is not None and second >= self.kill_at
        return killed and not self._restarted(second)

    def see(self, second: int, remote: Sequence[bool]) -> None:
        """Note which junctions are under control in this second."""
        if self.kill_at is not None and self.lasts(second) and self.local_after_s is None and not any(remote):
            self.local_after_s = second - self.kill_at
        elif self.restart_at is not None and self._restarted(second) and self.remote_after_s is None and all(remote):
            self.remote_after_s = second - self.restart_at

    def _restarted(self, second: int) -> bool:
        return self.restart_at is not None and second >= self.restart_at
