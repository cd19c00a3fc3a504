"""What the twin waits for before the next second: the decision on this one, and its commands at their devices."""

import asyncio
from dataclasses import dataclass

from maasloop.api.command.v1.events_pb2 import DecisionRecorded
from maasloop.bus.connection import Bus
from maasloop.bus.subjects import DECISION_RECORDED

DECISION_DEADLINE_S = 2.0
ARRIVALS_REMEMBERED_MAX = 50_000


@dataclass(frozen=True)
class Awaited:
    """How the wait for one second ended."""

    second: int
    decided: bool
    missing_commands: int = 0
    late_readings: bool = False

    @property
    def late(self) -> bool:
        """Tell whether the deadline passed first."""
        return not self.decided or self.missing_commands > 0


class Decisions:
    """Hears decisions of one district and arrivals of commands at its devices."""

    def __init__(self, district: str, clock_device: str) -> None:
        """Prepare; call ``listen`` once the bus stands."""
        self._subject = DECISION_RECORDED.subject(district, clock_device)
        self._records: dict[int, DecisionRecorded] = {}
        self._arrived: dict[str, None] = {}
        self._unnamed = 0
        """Commands of this second that arrived by a protocol without ids."""
        self._news = asyncio.Event()

    async def listen(self, bus: Bus) -> None:
        """Begin to hear decisions."""
        await bus.listen(self._subject, self._hear)

    def arrived(self, command_id: str) -> None:
        """Note that a command is at its device."""
        self._arrived[command_id] = None
        while len(self._arrived) > ARRIVALS_REMEMBERED_MAX:
            del self._arrived[next(iter(self._arrived))]
        self._news.set()

    def arrived_unnamed(self) -> None:
        """Note that one of the commands of this second is at its device, by a protocol that does not tell which."""
        self._unnamed += 1
        self._news.set()

    async def wait(self, second: int, *, deadline_s: float = DECISION_DEADLINE_S) -> Awaited:
        """Return when the second is decided upon and every command of it arrived, or the deadline passed."""
        try:
            async with asyncio.timeout(deadline_s):
                while not self._complete(second):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        unnamed, self._unnamed = self._unnamed, 0
        record = self._records.pop(second, None)
        self._records = {later: found for later, found in self._records.items() if later > second}
        if record is None:
            return Awaited(second, decided=False)
        missing = max(0, self._unknown(record) - unnamed)
        return Awaited(second, decided=True, missing_commands=missing, late_readings=record.late)

    def _complete(self, second: int) -> bool:
        record = self._records.get(second)
        return record is not None and self._unknown(record) <= self._unnamed

    def _unknown(self, record: DecisionRecorded) -> int:
        """Return how many commands of a decision did not arrive by name."""
        return sum(command_id not in self._arrived for command_id in record.command_ids)

    async def _hear(self, message: object) -> None:
        record = DecisionRecorded.FromString(getattr(message, "data", b""))
        self._records[record.street_second] = record
        self._news.set()
