"""What was taken for the next lot, and when it is enough for one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from maasloop.bus.pull import Delivery

from .storing import Taken

READINGS_A_LOT = 250_000
"""A lot is full with these or with its bytes: what is done once a series and lot then costs little a reading."""
READINGS_A_SECOND_LOT = 100_000
"""What is worth a second lot under way when the stream does not grow; while it does, only a full one is."""
GROWING_S = 0.1
"""A stream whose end moved so long ago grows no more."""
BYTES_A_LOT = 12 * 1024 * 1024


@dataclass(slots=True)
class Gathered:
    """Messages for the next lot."""

    taken: list[Taken] = field(default_factory=list)
    readings: int = 0
    bytes: int = 0
    own: bool = False
    """Some are to be rows."""

    def add(self, taken: Taken) -> None:
        """Take one more."""
        self.taken.append(taken)
        self.own = self.own or not taken.passing
        self.readings += taken.readings
        self.bytes += len(taken.body)

    @property
    def full(self) -> bool:
        """Tell whether no more fits."""
        return self.readings >= READINGS_A_LOT or self.bytes >= BYTES_A_LOT

    def enough(self, behind: int, lots: int, *, growing: bool) -> bool:
        """Tell whether it is a lot's share, where so many messages wait behind it and so many lots are made at once.

        What waits for a stream that does not grow is shared out: the share shrinks with what is left, so that lots made side
        by side also end side by side (guided self-scheduling: Polychronopoulos and Kuck, IEEE Transactions on Computers
        C-36, 1987). While it grows there is no such end, and small lots would only cost more a reading.
        """
        if self.full or growing:
            return self.full
        share = self.readings * (1 + behind / len(self.taken)) / lots
        return self.readings >= max(READINGS_A_SECOND_LOT, share)


@dataclass(slots=True)
class Growth:
    """Whether more and more messages wait: the end of the stream moves."""

    newest: int = 0
    since_s: float = float("-inf")

    def see(self, newest: int, now_s: float) -> bool:
        """Take note of the message that the stream ends with, and tell whether it grows."""
        if newest > self.newest:
            self.since_s = now_s
        self.newest = max(self.newest, newest)
        return now_s < self.since_s + GROWING_S


def newest_behind(deliveries: Sequence[Delivery], waiting: int) -> int:
    """Return the message that the stream ends with, as far as these deliveries and those that wait behind them tell."""
    last = max(deliveries, key=lambda each: each.stream_sequence, default=None)
    return 0 if last is None else last.stream_sequence + max(waiting, last.pending)
