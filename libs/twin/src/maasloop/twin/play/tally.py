"""What is counted while the play goes on, each figure where it happens."""

from collections import Counter, deque
from dataclasses import dataclass, field

LATENCIES_MAX = 100_000


@dataclass
class Tally:
    """Counts of one run."""

    seconds: int = 0
    readings_sent: int = 0
    late_decisions: int = 0
    late_readings: int = 0
    commands_arrived: int = 0
    commands_refused: Counter[str] = field(default_factory=Counter)
    """What no device took, by reason."""
    consent_refusals: int = 0
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_MAX))
    decided_ms: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_MAX))
    """Wall time of each second from the clock's word until the commands of its decision were at their devices."""
    commands_by_state: Counter[str] = field(default_factory=Counter)

    def latency_ms(self, share: float) -> float | None:
        """Return a percentile of the loop latencies (0.5, 0.99), nearest rank."""
        if not self.latencies_ms:
            return None
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class LoopTimer:
    """Times loops on the twin's own clock: a reading that must cause a command, until that command is at the device."""

    def __init__(self, tally: Tally) -> None:
        """Keep what is measured in ``tally``."""
        self._tally = tally
        self._begun: dict[str, tuple[float, float]] = {}

    def begin(self, device: str, now_s: float, *, above_percent: float) -> None:
        """A reading of this device leaves now, which must make it brighter; an open loop stays as it began."""
        self._begun.setdefault(device, (now_s, above_percent))

    def end(self, device: str, now_s: float, *, level_percent: float) -> None:
        """A command is at the device; one that makes it no brighter has another cause."""
        begun_s, above_percent = self._begun.get(device, (now_s, level_percent))
        if level_percent > above_percent:
            del self._begun[device]
            self._tally.latencies_ms.append((now_s - begun_s) * 1000.0)
