"""Record a batch of readings: the whole way of a reading through ingest, as a list of steps.

A step looks at all rows at once; what it finds wrong is a code in ``reason``, and the first finding stays. Good readings
are published whatever else the batch holds. The call returns when the broker has stored them, and raises when it did
not: sending the same batch again is always safe.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from maasloop.core.clock import Clock
from maasloop.core.domains import PERSONAL
from maasloop.core.errors import ResourceExhausted
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.facts import Kind
from maasloop.ingest.domain.outcome import DETAILS, REFUSALS_LISTED_MAX, Door, Recorded, Refusal
from maasloop.ingest.ports import (
    KEYS,
    RANKS,
    REASONS,
    Batch,
    Common,
    Counts,
    Gate,
    Lane,
    Portion,
    Publisher,
    Quarantined,
    Resolver,
    Series,
    code,
)

BACKLOG_AGE_US = 6 * 3_600 * 1_000_000
"""Readings that are older at receipt travel in the lane of the past."""
SHED_AFTER_US = 5_000_000
"""Readings of the lowest priority that have been acknowledged wait this long for room before they are shed."""
SHED_RETRY_S = 1.0
ACKNOWLEDGED_DOORS = frozenset({Door.MQTT, Door.CHIRPSTACK})
"""Doors whose senders have been told that their readings are kept: there, what is shed is counted."""
FUTURE_MAX_US = 5 * 60 * 1_000_000
STATE_BYTES_MAX = 256
LONGITUDE_MAX = 180.0
LATITUDE_MAX = 90.0

_NUMBER, _BOOLEAN, _STATE, _POSITION = (np.uint8(list(Kind).index(kind)) for kind in Kind)
_PERSONAL = KEYS.index(PERSONAL)
_LEAST_WANTED = len(RANKS) - 1

type _Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Every row of a batch: numbers, then states, then positions."""

    numbers: int
    states: int
    device: NDArray[np.int64]
    pair: NDArray[np.int64]
    time_us: NDArray[np.int64]


class RecordObservations:
    """The pipeline behind all four doors."""

    def __init__(
        self,
        *,
        resolve: Resolver,
        speaks_for: Callable[[str, str, str], bool],
        personal: Callable[[str, str], bool],
        counts_payloads: Callable[[str, str], bool],
        gate: Gate,
        publisher: Publisher,
        counts: Counts,
        clock: Clock,
    ) -> None:
        """``speaks_for(district, sender, device)`` is the gateway rule; ``personal(district, device)`` tells of whom.

        ``counts_payloads(district, device)`` tells whether the account of a device may hold its own count of payloads.
        """
        self._resolve = resolve
        self._speaks_for = speaks_for
        self._personal = personal
        self._counts_payloads = counts_payloads
        self._gate = gate
        self._publisher = publisher
        self._counts = counts
        self._clock = clock

    async def together(self, batch: Batch, payload: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keep the payloads of a joined batch whose readings are all good, and return which ones were left alone.

        ``payload`` is the number of the payload of each row, each sent by the device that its readings are of. Nothing
        became of those that are returned: each of them goes through the pipeline by itself.
        """
        series = self._resolve(batch)
        rows, reason = self._judged(batch, series)
        self._mark_shed(batch, series, rows, reason)
        alone = np.unique(payload[reason != 0])
        if len(alone):
            reason[np.isin(payload, alone)] = np.iinfo(np.uint8).max
        portions = list(_split(batch, series, rows, reason))
        await asyncio.gather(*(self._publisher.record(portion) for portion in portions))
        if accepted := sum(portion.count for portion in portions):
            self._counts.recorded(batch.door, Recorded(accepted, 0, ()))
        return alone

    def _judged(self, batch: Batch, series: Series) -> tuple[_Rows, NDArray[np.uint8]]:
        """Return the reason of each row, 0 for a good one."""
        rows = _all_rows(batch, series)
        reason = series.reason[rows.pair]
        self._apply_gateway_rule(batch, rows, reason)
        self._apply_consent_gate(series, rows, reason)
        _check_values(batch, series, rows, reason)
        _check_times(batch, series, rows, reason)
        return rows, reason

    async def __call__(self, batch: Batch, *, quarantine: bool = True) -> Recorded:
        """Keep the good readings of a batch and say which ones were refused, and why."""
        series = self._resolve(batch)
        if (plain := self._plain(batch, series.common)) is not None:
            await self._publisher.record(plain)
            recorded = Recorded(plain.count, 0, ())
            self._counts.recorded(batch.door, recorded)
            return recorded
        rows, reason = self._judged(batch, series)
        shed = self._shed(batch, series, rows, reason, counted=quarantine and batch.door in ACKNOWLEDGED_DOORS)
        portions = list(_split(batch, series, rows, reason))
        if quarantine and (heard := self._heard(batch, rows, reason)) is not None:
            portions.append(heard)
        publishing = [self._publisher.record(portion) for portion in portions]
        if reason.any() or batch.undecoded:
            refused = self._refused(batch, series, rows, reason) if quarantine else ()
            publishing += [self._publisher.quarantine(entry) for entry in refused]
            if without_consent := int(np.count_nonzero(reason == code(Reason.CONSENT_MISSING))):
                publishing.append(self._publisher.refuse_consent(batch.district, batch.door, without_consent))
        if shed:
            publishing.append(self._publisher.shed(batch.district, batch.door, shed))
        if len(publishing) == 1:
            await publishing[0]
        else:
            await asyncio.gather(*publishing)
        recorded = _answer(batch, reason, sum(portion.count for portion in portions))
        self._counts.recorded(batch.door, recorded)
        return recorded

    def _plain(self, batch: Batch, common: Common | None) -> Portion | None:
        """Return a batch whose extremes show that all of it is good and travels in the present: most are like this."""
        columns = batch.columns
        others = columns.states or columns.positions or columns.sequences or batch.undecoded or batch.sender
        if common is None or others or not len(columns) or batch.door is Door.IMPORT:
            return None
        if self._publisher.ranks_admitted(Lane.PRESENT) < len(RANKS):
            return None
        value, time_us, receipt_us = columns.value, columns.event_time_us, batch.receipt_time_us
        oldest_us = receipt_us - min(common.age_max_us, BACKLOG_AGE_US)
        # What is no number is in no range.
        inside = value.min() >= common.value_min and value.max() <= common.value_max
        if not inside or time_us.min() < oldest_us or time_us.max() > receipt_us + FUTURE_MAX_US:
            return None
        return _whole(batch, common.key)

    def _apply_gateway_rule(self, batch: Batch, rows: _Rows, reason: NDArray[np.uint8]) -> None:
        """A sender speaks for itself and for the devices whose gateway it is."""
        if not batch.sender:
            return
        devices = batch.columns.names().devices
        for index in np.unique(rows.device):
            if not self._speaks_for(batch.district, batch.sender, devices[index]):
                _mark(reason, rows.device == index, Reason.DEVICE_FOREIGN)

    def _apply_consent_gate(self, series: Series, rows: _Rows, reason: NDArray[np.uint8]) -> None:
        """Ask once for each person; nothing else about a reading matters without consent."""
        if not series.persons:
            return
        person = series.person[rows.pair]
        for index in np.unique(person[person >= 0]):
            if not self._gate.permits(*series.persons[index]):
                reason[person == index] = code(Reason.CONSENT_MISSING)

    def _mark_shed(self, batch: Batch, series: Series, rows: _Rows, reason: NDArray[np.uint8]) -> bool:
        """Mark what has no room by its priority; tell whether there is pressure."""
        admitted = [self._publisher.ranks_admitted(lane) for lane in Lane]
        if min(admitted) == len(RANKS):
            return False
        lanes = np.where(series.key[rows.pair] == _PERSONAL, list(Lane).index(Lane.PERSONAL), _past(batch, rows))
        _mark(reason, series.rank[rows.pair] >= np.array(admitted, np.uint8)[lanes], Reason.SHED)
        return True

    def _shed(self, batch: Batch, series: Series, rows: _Rows, reason: NDArray[np.uint8], *, counted: bool) -> int:
        """Refuse what has no room by its priority, and return how many readings are to be counted as shed.

        Raises ``ResourceExhausted`` (SHED) where the readings can come again: nothing else is left of the batch, or they
        were acknowledged. Those wait for room as long as it takes, and only the least wanted ones just for a while.
        """
        if not self._mark_shed(batch, series, rows, reason):
            return 0
        shed = reason == code(Reason.SHED)
        count = int(np.count_nonzero(shed))
        young = batch.receipt_time_us + SHED_AFTER_US > self._clock.now_us()
        waits = counted and (young or bool((series.rank[rows.pair[shed]] < _LEAST_WANTED).any()))
        if count and (waits or (not counted and not (reason == 0).any())):
            message = "readings of this priority find no room now"
            raise ResourceExhausted(Reason.SHED, message, retry_after_s=SHED_RETRY_S)
        return count if counted else 0

    def _heard(self, batch: Batch, rows: _Rows, reason: NDArray[np.uint8]) -> Portion | None:
        """Return the counts that no reading takes along: a payload that came is not missing, whatever is wrong with it.

        They travel where everything does that is only counted.
        """
        sequences = batch.columns.sequences
        if not sequences:
            return None
        taken, names = set(rows.device[reason == 0].tolist()), batch.columns.names().devices
        left = [each for each in sequences if each.device_index not in taken]
        counted = [each for each in left if self._keeps_count(batch, names[each.device_index])]
        if not counted:
            return None
        none = _portion(batch, rows, np.zeros(len(rows.pair), np.bool_), PERSONAL)
        return replace(none, sequences=counted)

    def _keeps_count(self, batch: Batch, device: str) -> bool:
        spoken_for = not batch.sender or self._speaks_for(batch.district, batch.sender, device)
        return spoken_for and self._counts_payloads(batch.district, device)

    def _refused(self, batch: Batch, series: Series, rows: _Rows, reason: NDArray[np.uint8]) -> Iterator[Quarantined]:
        """One entry a reason, two where some of its readings may be shown and others are only counted."""
        undecoded = Counter((batch.undecoded or {}).values())
        bad = (reason != 0) & (reason != code(Reason.CONSENT_MISSING)) & (reason != code(Reason.SHED))
        if not undecoded and not bad.any():
            return
        personal = series.key[rows.pair] == _PERSONAL
        named = {batch.sender, *batch.undecoded_devices} - {""}
        secret = personal.any() or any(self._personal(batch.district, device) for device in named)
        whole = b"" if secret else batch.payload
        for each in np.unique(reason[bad]):
            why = REASONS[each - 1]
            hidden = int(np.count_nonzero(personal & (reason == each))) + undecoded.pop(why, 0)
            shown = ~personal & (reason == each)
            count = int(np.count_nonzero(shown))
            if whole:
                yield _entry(batch, why, hidden + count, whole, None)
                continue
            if hidden:
                yield _entry(batch, why, hidden, b"", None)
            if count:
                yield _entry(batch, why, count, b"", _portion(batch, rows, shown, ""))
        for why, count in undecoded.items():
            yield _entry(batch, why, count, whole, None)


def _all_rows(batch: Batch, series: Series) -> _Rows:
    columns = batch.columns
    device, property_index, time_us = columns.device_index, columns.property_index, columns.event_time_us
    others = [*columns.states, *columns.positions]
    if others:
        device = np.concatenate((device, np.array([row.device_index for row in others], np.uint32)))
        property_index = np.concatenate((property_index, np.array([row.property_index for row in others], np.uint32)))
        time_us = np.concatenate((time_us, np.array([row.event_time_us for row in others], np.int64)))
    wide = device.astype(np.int64)
    return _Rows(len(columns.value), len(columns.states), wide, wide * series.width + property_index, time_us)


def _mark(reason: NDArray[np.uint8], wrong: _Mask, why: Reason) -> None:
    """Give wrong rows a reason, except those that have one."""
    if wrong.any():
        reason[wrong & (reason == 0)] = code(why)


def _check_values(batch: Batch, series: Series, rows: _Rows, reason: NDArray[np.uint8]) -> None:
    """Numbers are finite, in range and of the kind of their property; words are short; places lie on the globe."""
    columns = batch.columns
    kind = series.kind[rows.pair]
    numbers = slice(0, rows.numbers)
    pair, value = rows.pair[numbers], columns.value
    boolean = kind[numbers] == _BOOLEAN
    another = kind[numbers] > _BOOLEAN
    if boolean.any():
        another |= boolean & (value != 0) & (value != 1)
    _mark(reason[numbers], another | ~np.isfinite(value), Reason.VALUE_NOT_A_NUMBER)
    inside = (value >= series.value_min[pair]) & (value <= series.value_max[pair])
    _mark(reason[numbers], ~inside, Reason.VALUE_OUT_OF_RANGE)
    if not columns.states and not columns.positions:
        return
    states = slice(rows.numbers, rows.numbers + rows.states)
    positions = slice(states.stop, None)
    _mark(reason[states], kind[states] != _STATE, Reason.VALUE_NOT_A_NUMBER)
    _mark(reason[states], np.array([not _text(row.state) for row in columns.states], bool), Reason.TEXT_INVALID)
    _mark(reason[positions], kind[positions] != _POSITION, Reason.VALUE_NOT_A_NUMBER)
    places = [(row.position.longitude, row.position.latitude) for row in columns.positions]
    off = [not (abs(east) <= LONGITUDE_MAX and abs(north) <= LATITUDE_MAX) for east, north in places]
    _mark(reason[positions], np.array(off, bool), Reason.VALUE_OUT_OF_RANGE)


def _text(state: str) -> bool:
    return 0 < len(state.encode("utf-8", "replace")) <= STATE_BYTES_MAX and "\0" not in state


def _check_times(batch: Batch, series: Series, rows: _Rows, reason: NDArray[np.uint8]) -> None:
    """Event times lie in [receipt - 30 d or the retention, receipt + 5 min]: another one would make a chunk of its own.

    History is as old as its retention allows.
    """
    age_max_us = series.history_max_us if batch.door is Door.IMPORT else series.age_max_us
    oldest_us = batch.receipt_time_us - age_max_us[rows.pair]
    _mark(reason, rows.time_us < oldest_us, Reason.TIME_TOO_OLD)
    _mark(reason, rows.time_us > batch.receipt_time_us + FUTURE_MAX_US, Reason.TIME_IN_FUTURE)


def _past(batch: Batch, rows: _Rows) -> NDArray[np.int64]:
    """Return 1 for rows that travel behind the present, else 0."""
    if batch.door is Door.IMPORT:
        return np.ones(len(rows.pair), np.int64)
    return (rows.time_us < batch.receipt_time_us - BACKLOG_AGE_US).astype(np.int64)


def _split(batch: Batch, series: Series, rows: _Rows, reason: NDArray[np.uint8]) -> Iterator[Portion]:
    """Group the good readings by lane and last token; personal ones share a message with no other."""
    good = reason == 0
    key = series.key[rows.pair].astype(np.int64)
    place = key * 2 + ((key != _PERSONAL) & (_past(batch, rows) == 1))
    places = np.unique(place[good])
    whole = len(places) == 1 and good.all()
    for each in places.tolist():
        key_token, past = KEYS[each // 2], bool(each % 2)
        if whole and _counts_own(batch, rows):
            yield _whole(batch, key_token, past=past)
        else:
            yield _portion(batch, rows, good & (place == each), key_token, past=past)


def _counts_own(batch: Batch, rows: _Rows) -> bool:
    """Tell whether every device whose count came along also has a reading."""
    return not batch.columns.sequences or {each.device_index for each in batch.columns.sequences} <= set(
        rows.device.tolist()
    )


def _whole(batch: Batch, key: str, *, past: bool = False) -> Portion:
    """Return all readings as they are."""
    columns = batch.columns
    lane = Lane.PERSONAL if key == PERSONAL else Lane.PAST if past else Lane.PRESENT
    others = (columns.states, columns.positions, columns.sequences)
    return Portion(batch.door, batch.district, lane, key, columns, None, *others, batch.receipt_time_us, len(columns))


def _portion(batch: Batch, rows: _Rows, chosen: _Mask, key: str, *, past: bool = False) -> Portion:
    """Return chosen readings."""
    columns, after = batch.columns, rows.numbers + rows.states
    devices = set(rows.device[chosen].tolist()) if columns.sequences else set()
    return replace(
        _whole(batch, key, past=past),
        numbers=chosen[: rows.numbers],
        states=[each for each, taken in zip(columns.states, chosen[rows.numbers : after], strict=True) if taken],
        positions=[each for each, taken in zip(columns.positions, chosen[after:], strict=True) if taken],
        sequences=[each for each in columns.sequences if each.device_index in devices],
        count=int(np.count_nonzero(chosen)),
    )


def _entry(batch: Batch, why: Reason, count: int, payload: bytes, kept: Portion | None) -> Quarantined:
    device = batch.sender if payload or kept else ""
    if kept is not None and not device:
        device = _only_device(kept)
    told = (batch.door, batch.district, device, why, DETAILS.get(why, ""), count, batch.receipt_time_us)
    return Quarantined(*told, batch.content_type if payload else "", payload, kept)


def _only_device(portion: Portion) -> str:
    indexes = set() if portion.numbers is None else set(portion.columns.device_index[portion.numbers].tolist())
    indexes |= {row.device_index for row in (*portion.states, *portion.positions)}
    return portion.columns.names().devices[indexes.pop()] if len(indexes) == 1 else ""


def _answer(batch: Batch, reason: NDArray[np.uint8], accepted_count: int) -> Recorded:
    undecoded = batch.undecoded or {}
    bad = np.flatnonzero(reason)
    if not len(bad) and not undecoded:
        return Recorded(accepted_count, 0, ())
    places = batch.payload_index
    found = {(int(row) if places is None else places[row]): REASONS[reason[row] - 1] for row in bad.tolist()}
    found.update(undecoded)
    listed = sorted(found.items())[:REFUSALS_LISTED_MAX]
    refusals = tuple(Refusal(index, why, DETAILS.get(why, "")) for index, why in listed)
    return Recorded(accepted_count, len(bad) + len(undecoded), refusals)
