"""The custody balance: what became of every reading that was acknowledged."""

from maasloop.timeseries.domain.custody import Balance, Terms
from maasloop.timeseries.ports.accounting import CustodyReader, ReadingCounter


class GetCustodyBalance:
    """Terms from the tables, and what lies in streams and at the door beyond them."""

    def __init__(self, custody: CustodyReader, counter: ReadingCounter) -> None:
        """Count what is stored and what is not."""
        self._custody = custody
        self._counter = counter

    async def __call__(self, district: str) -> Balance:
        """Return the balance of a district; empty = all."""
        # What leaves the door meanwhile is counted twice rather than not at all: nothing at rest is.
        in_stream = await self._counter.at_door(district)
        found = await self._custody.custody(district)
        terms = Terms()
        for door in found.doors.values():
            terms.add(door)
        for stream, settled in found.streams.items():
            in_stream += await self._counter.in_stream(stream, settled, district)
        return Balance(terms, in_stream, found.lost, found.series_stored, found.doors)
