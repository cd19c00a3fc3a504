"""From messages of the custody streams to what the writer stores."""

from google.protobuf.message import DecodeError

from maasloop.api.observation.v1.events_pb2 import ObservationsRecorded, ReadingsQuarantined
from maasloop.api.observation.v1.packed_pb2 import PackedObservationsRecorded
from maasloop.bus.columns import Columns, parse_packed, read_columns
from maasloop.bus.subjects import OBSERVATION_QUARANTINED, parse_fact
from maasloop.core.domains import PERSONAL
from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.timeseries.domain.custody import Terms
from maasloop.timeseries.ports.writing import Message

OWN_DOOR = "timeseries"
"""Conflicts that this service itself sent to quarantine; they are counted as conflicts already."""


def decode(sequence: int, subject: str, body: bytes) -> Message:
    """Return what a message says, or refuse it."""
    found = parse_fact(subject)
    if found.fact == OBSERVATION_QUARANTINED:
        return _quarantined(sequence, found.district, body)
    packed = parse_packed(PackedObservationsRecorded, ObservationsRecorded, body)
    columns = read_columns(packed.observations, packed.row_groups)
    counted = Terms(
        refused_consent=packed.refused_consent_count,
        shed=packed.shed_count,
        dead_lettered=packed.dead_lettered_count,
    )
    counted.accepted = len(columns) + counted.refused_consent + counted.shed + counted.dead_lettered
    return Message(
        sequence=sequence,
        district=found.district,
        terms=counted,
        producer=packed.producer,
        producer_total=packed.producer_total,
        columns=columns if len(columns) else None,
        personal=found.key == PERSONAL,
        receipt_time_us=packed.receipt_time_us,
        door=packed.door,
        counts=_counts(columns) if columns.sequences else (),
    )


def _counts(columns: Columns) -> list[tuple[str, int]]:
    devices = columns.names().devices
    return [(devices[each.device_index], each.sequence) for each in columns.sequences]


def _quarantined(sequence: int, district: str, body: bytes) -> Message:
    try:
        message = ReadingsQuarantined.FromString(body)
    except DecodeError:
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "not a serialized ReadingsQuarantined") from None
    if message.entry.door == OWN_DOOR:
        return Message(sequence, district, Terms())
    entry = message.entry
    return Message(
        sequence,
        district,
        Terms(accepted=entry.reading_count, quarantined=entry.reading_count),
        message.producer,
        message.producer_total,
        door=entry.door,
        device=entry.device,
    )


def district_of(subject: str) -> str:
    """Return whose position a message moves."""
    try:
        return parse_fact(subject).district
    except InvalidArgument:
        return "unknown"


def given_up(sequence: int, subject: str, readings: int) -> Message:
    """Return what is stored of a message that became a dead letter: that it was one."""
    return Message(sequence, district_of(subject), Terms(accepted=readings, dead_lettered=readings))
