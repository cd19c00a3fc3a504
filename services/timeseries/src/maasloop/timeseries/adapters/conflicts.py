"""Facts about readings whose key holds another value: they go to ingest's quarantine, kept apart as conflicts."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from maasloop.api.common.v1.geo_pb2 import Point
from maasloop.api.observation.v1.events_pb2 import ReadingsQuarantined
from maasloop.api.observation.v1.observation_pb2 import (
    ObservationColumns,
    PositionObservation,
    QuarantineEntry,
    SeriesDictionary,
    StateObservation,
)
from maasloop.bus.subjects import OBSERVATION_QUARANTINED
from maasloop.core.reasons import Reason
from maasloop.rpc.times import timestamp_from_us
from maasloop.runtime.outbox import OutboxRow
from maasloop.timeseries.ports.rows import Conflict
from maasloop.timeseries.ports.writing import Lot, SeriesIndex

DOOR = "timeseries"
READINGS_A_FACT_MAX = 2_000
CONTENT_TYPE = "application/protobuf; type=maasloop.api.observation.v1.ObservationColumns"


class ConflictFacts:
    """Makes one fact a district for the conflicts of a lot."""

    def __init__(self, index: SeriesIndex) -> None:
        """Names come from the writer's index."""
        self._index = index

    def __call__(self, lot: Lot, conflicts: Sequence[Conflict]) -> list[OutboxRow]:
        """Return the facts; their ids follow from the lot, so that a second attempt tells the same."""
        by_district: defaultdict[str, list[Conflict]] = defaultdict(list)
        for conflict in conflicts:
            by_district[lot.messages[conflict.origin].district].append(conflict)
        return [
            self._fact(lot, district, found[start : start + READINGS_A_FACT_MAX])
            for district, found in by_district.items()
            for start in range(0, len(found), READINGS_A_FACT_MAX)
        ]

    def _fact(self, lot: Lot, district: str, conflicts: Sequence[Conflict]) -> OutboxRow:
        payload = self._columns(conflicts).SerializeToString(deterministic=True)
        sequences = (lot.messages[0].sequence, lot.messages[-1].sequence)
        told = (lot.life.stream, lot.life.created, lot.life.epoch, sequences, district)
        ce_id = hashlib.sha256(repr(told).encode() + payload).hexdigest()[:32]
        devices = {self._index.name(conflict.series)[0] for conflict in conflicts}
        entry = QuarantineEntry(
            name=f"quarantineEntries/{ce_id}",
            receipt_time=timestamp_from_us(conflicts[0].receipt_time_us),
            door=DOOR,
            district=district,
            device=devices.pop() if len(devices) == 1 else "",
            reason=Reason.VALUE_CONFLICT,
            detail="another value is stored under the same series and time",
            reading_count=len(conflicts),
            content_type=CONTENT_TYPE,
            payload=payload,
        )
        return OutboxRow(
            subject=OBSERVATION_QUARANTINED.subject(district, DOOR),
            ce_id=ce_id,
            ce_type=OBSERVATION_QUARANTINED.message,
            body=ReadingsQuarantined(entry=entry).SerializeToString(),
        )

    def _columns(self, conflicts: Sequence[Conflict]) -> ObservationColumns:
        devices: dict[str, int] = {}
        properties: dict[str, int] = {}
        columns = ObservationColumns()
        for conflict in conflicts:
            device, observed_property = self._index.name(conflict.series)
            place = (
                devices.setdefault(device, len(devices)),
                properties.setdefault(observed_property, len(properties)),
            )
            if isinstance(conflict.result, str):
                state = StateObservation(device_index=place[0], property_index=place[1], state=conflict.result)
                state.event_time_us = conflict.time_us
                columns.states.append(state)
            elif isinstance(conflict.result, tuple):
                point = Point(longitude=conflict.result[0], latitude=conflict.result[1])
                position = PositionObservation(device_index=place[0], property_index=place[1], position=point)
                position.event_time_us = conflict.time_us
                columns.positions.append(position)
            else:
                columns.device_index.append(place[0])
                columns.property_index.append(place[1])
                columns.event_time_us.append(conflict.time_us)
                columns.value.append(conflict.result)
        columns.dictionary.CopyFrom(SeriesDictionary(devices=devices, observed_properties=properties))
        return columns
