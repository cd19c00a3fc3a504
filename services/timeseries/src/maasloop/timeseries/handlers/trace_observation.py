"""Where a reading is: its row, and the messages that carried it.

Messages are searched from shortly before the reading was received: for a row that time is known; without one the reading
was received after it was true in the street, or its sender's clock ran ahead by no more than the door allows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maasloop.core.errors import Unavailable
from maasloop.core.reasons import Reason
from maasloop.timeseries.ports.accounting import Carrying, Key, MessageSearch, RowFinder, Searched, Settled
from maasloop.timeseries.ports.reading import Newest, ObservationReader, Selection, Visibility

BEFORE_RECEIPT_US = 5 * 1_000_000
"""A receipt time is taken before its message is stored, by a clock that may differ from the broker's."""
AHEAD_MAX_US = 15 * 60 * 1_000_000
"""How far an event time may lie before its receipt at most, with room: doors refuse what is further in the future."""
SERIES_MAX = 64
"""Series of one device and property: one a kind and retention class."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a reading was found."""

    row: Newest | None
    messages: Sequence[Carrying]
    searched: Sequence[Searched]
    settled: Mapping[str, Settled]
    """By stream, what has been stored."""


class TraceObservation:
    """Finds one reading by its series and event time."""

    def __init__(
        self,
        reader: ObservationReader,
        rows: RowFinder,
        search: MessageSearch,
        visibility: Visibility,
        *,
        streams: Sequence[str],
        personal_streams: Sequence[str],
    ) -> None:
        """``personal_streams`` are searched only where the device's personal readings may be shown."""
        self._reader = reader
        self._rows = rows
        self._search = search
        self._visibility = visibility
        self._streams = streams
        self._personal_streams = personal_streams

    async def __call__(self, key: Key) -> Trace:
        """Return where a reading is; what may not be shown is nowhere."""
        if not self._visibility.ready():
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, "the registry's facts have not arrived")
        if not self._shown(key, personal=False):
            return Trace(None, [], [], {})
        selection = Selection(key.district, (key.device,), (key.observed_property,))
        found = await self._reader.series(selection, after=None, size=SERIES_MAX)
        series = [each for each in found if self._shown(key, personal=each.personal)]
        row = await self._rows.row(series, key.time_us) if series else None
        since_us = key.time_us - AHEAD_MAX_US if row is None else row.receipt_time_us - BEFORE_RECEIPT_US
        settled = await self._rows.settled()
        streams = [*self._streams]
        if self._shown(key, personal=True):
            streams += self._personal_streams
        messages, searched = await self._search.carrying(key, streams, since_us)
        if not self._shown(key, personal=False):
            # A consent ended during the search.
            return Trace(None, [], [], {})
        return Trace(row, messages, searched, settled)

    def _shown(self, key: Key, *, personal: bool) -> bool:
        return self._visibility.visible(key.district, key.device, personal=personal)
