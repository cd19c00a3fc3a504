"""The custody balance: what became of every reading that was acknowledged."""

from maasloop.timeseries.domain.custody import Balance
from maasloop.timeseries.ports.reading import CustodyReader, ReadingCounter


class GetCustodyBalance:
    """Terms from the tables, and what the streams hold beyond them."""

    def __init__(self, custody: CustodyReader, counter: ReadingCounter) -> None:
        """Count what is stored and what is not."""
        self._custody = custody
        self._counter = counter

    async def __call__(self, district: str) -> Balance:
        """Return the balance of a district; empty = all."""
        terms, lost, stored_upto = await self._custody.terms(district)
        in_stream = 0
        for stream, sequence in stored_upto.items():
            in_stream += await self._counter.readings_after(stream, sequence, district)
        return Balance(terms, in_stream, lost)
