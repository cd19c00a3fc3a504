"""Looks up the series of a batch in the projection of the registry.

Senders repeat their dictionaries, so that what was found out about one is kept by its bytes until the registry changes;
a batch then costs a few array look-ups. Pairs are resolved when they first occur: most dictionaries use few of the
pairs they could.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from maasloop.core.domains import PERSONAL
from maasloop.core.errors import Unavailable
from maasloop.core.observations import Names as DictionaryNames
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.facts import VALUE_MAX, DeviceFacts, Facts, Kind, device_name, resolve, speaks_for
from maasloop.ingest.ports import KEYS, RANKS, Batch, Common, Series, code

TABLES_BYTES_MAX = 24 * 1024 * 1024
"""Memory of all cached dictionaries together: some 400,000 series that are sent in turn, 1,000 a batch.

Of more than fit in, those that are sent in turn would each be gone when they come again.
"""
TABLE_BYTES = 2_000
"""A table without its pairs and the bytes of its dictionary: nine arrays and what Python adds to them."""
PAIR_BYTES = 40
"""A pair in the arrays."""
AGE_MAX_US = 30 * 86_400 * 1_000_000
HISTORY_MAX_US = 100 * 366 * 86_400 * 1_000_000
"""What is kept for ever may be a hundred years old: a mistyped year makes no chunk of its own."""

_KINDS = list(Kind)
_NUMBER = _KINDS.index(Kind.NUMBER)
_UNRESOLVED = np.uint8(255)


@dataclass(slots=True)
class _Table:
    """What is known about the pairs of one dictionary."""

    series: Series
    person_of: dict[tuple[str, str], int] = field(default_factory=dict)
    persons: list[tuple[str, str]] = field(default_factory=list)


class Registry:
    """Answers from the projection; ``changed`` tells it that what it cached may be wrong.

    Every question raises ``Unavailable`` before the first facts: whose a payload is decides what may be kept of it.
    """

    def __init__(self, known: Callable[[], Mapping[str, Facts]], ready: Callable[[], bool] = lambda: True) -> None:
        """``known`` returns the items of the projection by resource name, ``ready`` tells whether it holds any state."""
        self._known = known
        self._ready = ready
        self._tables: OrderedDict[tuple[str, bytes], _Table] = OrderedDict()
        self._bytes = 0

    def changed(self, _items: object = None) -> None:
        """Forget what was derived from older facts."""
        self._tables.clear()
        self._bytes = 0

    def speaks_for(self, district: str, sender: str, device: str) -> bool:
        """Tell whether a device may report for another."""
        return speaks_for(self._facts(), district, sender, device)

    def personal(self, district: str, device: str) -> bool:
        """Tell whether a device's readings are a person's."""
        facts = self._facts().get(device_name(district, device))
        return isinstance(facts, DeviceFacts) and bool(facts.data_subject)

    def counts_payloads(self, district: str, device: str) -> bool:
        """Tell whether a device is in service and nobody's, so that its own count of payloads may be kept."""
        facts = self._facts().get(device_name(district, device))
        return isinstance(facts, DeviceFacts) and facts.active and not facts.data_subject

    def __call__(self, batch: Batch) -> Series:
        """Return what is known of the pairs of a batch."""
        self._facts()
        table = self._table(batch)
        series, columns = table.series, batch.columns
        if series.common is not None:
            return series
        pair = columns.device_index.astype(np.int64) * series.width + columns.property_index
        unresolved = pair[series.reason[pair] == _UNRESOLVED]
        others = [row.device_index * series.width + row.property_index for row in (*columns.states, *columns.positions)]
        fresh = [other for other in others if series.reason[other] == _UNRESOLVED]
        if len(unresolved) or fresh:
            pairs = {*np.unique(unresolved).tolist(), *fresh}
            self._resolve(batch.district, table, batch.columns.names(), pairs)
            table.series = replace(series, common=_common(series))
        return table.series

    def _facts(self) -> Mapping[str, Facts]:
        if not self._ready():
            message = "the registry's facts have not arrived"
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, message, {"neighbour": "device-registry"})
        return self._known()

    def _table(self, batch: Batch) -> _Table:
        place = (batch.district, batch.columns.dictionary)
        table = self._tables.get(place)
        if table is not None:
            self._tables.move_to_end(place)
            return table
        names = batch.columns.names()
        pairs = max(1, len(names.devices)) * max(1, len(names.observed_properties))
        table = _new_table(names, pairs)
        self._tables[place] = table
        self._bytes += _bytes(place[1], table)
        while self._bytes > TABLES_BYTES_MAX and len(self._tables) > 1:
            (_, dictionary), old = self._tables.popitem(last=False)
            self._bytes -= _bytes(dictionary, old)
        return table

    def _resolve(self, district: str, table: _Table, names: DictionaryNames, pairs: set[int]) -> None:
        known, series = self._known(), table.series
        for pair in pairs:
            device, observed_property = divmod(pair, series.width)
            found = resolve(known, district, names.devices[device], names.observed_properties[observed_property])
            if isinstance(found, str):
                series.reason[pair] = code(found)
                if self.personal(district, names.devices[device]):
                    # What is refused of a person is not kept either.
                    series.key[pair] = KEYS.index(PERSONAL)
                continue
            facts = found.facts
            series.reason[pair] = 0
            series.kind[pair] = _KINDS.index(facts.kind)
            series.value_min[pair] = facts.range_min
            series.value_max[pair] = facts.range_max
            series.age_max_us[pair] = min(facts.retention_us, AGE_MAX_US)
            series.history_max_us[pair] = min(facts.retention_us, HISTORY_MAX_US)
            series.key[pair] = KEYS.index(found.key)
            series.rank[pair] = RANKS.index(facts.priority)
            if found.data_subject:
                person = (found.data_subject, found.processing_activity)
                if person not in table.person_of:
                    table.person_of[person] = len(table.persons)
                    table.persons.append(person)
                series.person[pair] = table.person_of[person]


def _common(series: Series) -> Common | None:
    """Return what holds for all pairs of a dictionary, nothing where they differ in what cannot be told by extremes."""
    alike = not series.persons and not series.reason.any() and not (series.kind != _NUMBER).any()
    if not alike or (series.key != series.key[0]).any():
        return None
    return Common(
        key=KEYS[series.key[0]],
        value_min=max(float(series.value_min.max()), -VALUE_MAX),
        value_max=min(float(series.value_max.min()), VALUE_MAX),
        age_max_us=int(series.age_max_us.min()),
    )


def _bytes(dictionary: bytes, table: _Table) -> int:
    return TABLE_BYTES + len(dictionary) + PAIR_BYTES * len(table.series.reason)


def _new_table(names: DictionaryNames, pairs: int) -> _Table:
    persons: list[tuple[str, str]] = []
    series = Series(
        width=max(1, len(names.observed_properties)),
        reason=np.full(pairs, _UNRESOLVED, np.uint8),
        kind=np.zeros(pairs, np.uint8),
        value_min=np.full(pairs, -np.inf),
        value_max=np.full(pairs, np.inf),
        age_max_us=np.full(pairs, AGE_MAX_US, np.int64),
        history_max_us=np.full(pairs, HISTORY_MAX_US, np.int64),
        key=np.zeros(pairs, np.uint8),
        rank=np.zeros(pairs, np.uint8),
        person=np.full(pairs, -1, np.int32),
        persons=persons,
    )
    return _Table(series, persons=persons)
