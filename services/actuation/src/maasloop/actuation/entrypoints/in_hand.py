"""Messages whose readings wait for the second that they are decided with.

They are acknowledged when that decision is durable, so that what a killed process had in hand comes again. None is held
for so long that the broker sends it a second time, and not so many that it sends nothing more: those are let go before.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from maasloop.bus.pull import Delivery
from maasloop.bus.streams import STREET

HELD_MAX_S = STREET.ack_wait_s - 1.0
"""Longer than a second is waited for, shorter than until the broker sends a message again."""
HELD_MAX = STREET.max_ack_pending // 2


@dataclass(frozen=True, slots=True)
class _Held:
    district: str
    second: int
    until_s: float
    delivery: Delivery


class InHand:
    """Unacknowledged messages of districts with a field clock, in the order in which they came."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._held: list[_Held] = []

    def hold(self, district: str, second: int, delivery: Delivery, monotonic_s: float) -> None:
        """Keep a message until a district decides on a second or a later one."""
        self._held.append(_Held(district, second, monotonic_s + HELD_MAX_S, delivery))

    def overdue(self, monotonic_s: float) -> list[Delivery]:
        """Return the messages that cannot be kept any longer."""
        due = next((at for at, one in enumerate(self._held) if one.until_s > monotonic_s), len(self._held))
        due = max(due, len(self._held) - HELD_MAX)
        taken, self._held = self._held[:due], self._held[due:]
        return [one.delivery for one in taken]

    def decided(self, district: str, second: int) -> list[Delivery]:
        """Return the messages that are done with when the decision on a second is durable; they are kept no more."""
        taken = [one for one in self._held if one.district == district and one.second <= second]
        self._held = [one for one in self._held if one.district != district or one.second > second]
        return [one.delivery for one in taken]


def acknowledging(deliveries: Sequence[Delivery]) -> Callable[[], Awaitable[None]]:
    """Return what acknowledges messages."""

    async def acknowledge() -> None:
        for delivery in deliveries:
            await delivery.ack()

    return acknowledge
