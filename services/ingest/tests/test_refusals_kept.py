"""Every refused reading lies in quarantine once, nothing of a person does, and a replay is judged as the first time."""

from dataclasses import dataclass, field

import pytest

from maasloop.api.device.v1.device_pb2 import Device
from maasloop.api.device.v1.events_pb2 import RegistryResource
from maasloop.bus.columns import build_columns
from maasloop.core.clock import SystemClock
from maasloop.core.domains import Domain
from maasloop.core.errors import InvalidArgument, Unavailable
from maasloop.core.reasons import Reason
from maasloop.ingest.adapters.packing import columns_of
from maasloop.ingest.adapters.registry import facts_of
from maasloop.ingest.adapters.resolving import Registry
from maasloop.ingest.domain.facts import DeviceFacts, Facts, Kind, PropertyFacts, TypeFacts
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.ingest.entrypoints.payloads import COLUMNS, JSON, SENML, Received, decode, decode_entry
from maasloop.ingest.handlers.record_observations import RecordObservations
from maasloop.ingest.handlers.refuse_payload import RefusePayload
from maasloop.ingest.ports import RANKS, Lane, Portion, Quarantined, QuarantineEntry

NOW_US = 1_764_000_000_000_000


@dataclass
class Kept:
    """Keeps what would have been published."""

    portions: list[Portion] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)

    async def record(self, portion: Portion) -> None:
        """Keep a portion."""
        self.portions.append(portion)

    def ranks_admitted(self, _lane: Lane) -> int:
        """There is always room."""
        return len(RANKS)

    async def shed(self, _district: str, _door: Door, _count: int) -> None:
        """Keep nothing."""

    async def refuse_consent(self, _district: str, _door: Door, _count: int) -> None:
        """Keep nothing."""

    async def quarantine(self, quarantined: Quarantined) -> None:
        """Keep a refusal."""
        self.quarantined.append(quarantined)

    def recorded(self, _door: Door, _recorded: Recorded) -> None:
        """Count nothing."""

    def permits(self, _person: str, _activity: str) -> bool:
        """Let everybody through."""
        return True


def _known(**devices: DeviceFacts) -> dict[str, Facts]:
    return {
        "observedProperties/power": PropertyFacts(Domain.ENERGY, Kind.NUMBER, "W", 0, 2_000, 2**60),
        "deviceTypes/thing": TypeFacts(frozenset({"power"})),
        **{f"districts/noord/devices/{device}": facts for device, facts in devices.items()},
    }


def _pipeline(known: dict[str, Facts]) -> tuple[RecordObservations, Kept]:
    registry, kept = Registry(lambda: known), Kept()
    record = RecordObservations(
        resolve=registry,
        speaks_for=registry.speaks_for,
        personal=registry.personal,
        counts_payloads=registry.counts_payloads,
        gate=kept,
        publisher=kept,
        counts=kept,
        clock=SystemClock(),
    )
    return record, kept


@pytest.mark.parametrize("person", ["", "anna"])
async def test_readings_refused_for_one_reason_are_one_entry(person: str) -> None:
    """A reading that is no number and one of the wrong kind share a reason, and so an entry: two would have one id."""
    record, kept = _pipeline(_known(lamp=DeviceFacts("thing", True, "", person, "air" if person else "")))
    payload = b'{"observations": [{"property": "power", "value": "x"}, {"property": "power", "state": "on"}]}'

    recorded = await record(decode(Received(Door.MQTT, "noord", "lamp", NOW_US, JSON, payload), lambda _: "W"))

    assert recorded.refused_count == 2
    assert [(each.reason, each.reading_count) for each in kept.quarantined] == [(Reason.VALUE_NOT_A_NUMBER, 2)]
    assert kept.quarantined[0].payload == (b"" if person else payload)


@pytest.mark.parametrize(
    ("content_type", "payload"),
    [
        (JSON, b'{"observations": [{"device": "wearable", "property": "power", "value": "61x"}]}'),
        (SENML, b'[{"bn": "wearable/", "n": "power", "v": "61x"}]'),
        (SENML, b'[{"n": "wearable/power", "u": "m", "v": 61}]'),
    ],
)
async def test_an_undecoded_reading_of_a_person_is_not_kept(content_type: str, payload: bytes) -> None:
    """Also not when it comes by a gateway that is nobody's: its readings say whose they are."""
    wearable = DeviceFacts("thing", True, "cabinet", "anna", "health")
    record, kept = _pipeline(_known(cabinet=DeviceFacts("thing", True, "", "", ""), wearable=wearable))

    await record(decode(Received(Door.MQTT, "noord", "cabinet", NOW_US, content_type, payload), lambda _: "W"))

    assert [(each.device, each.reading_count, each.payload) for each in kept.quarantined] == [("", 1, b"")]


async def test_a_retired_device_of_a_person_stays_a_persons() -> None:
    """Its payloads are refused, and nothing of them is kept but their number."""
    device = Device(
        name="districts/noord/devices/wearable",
        device_type="deviceTypes/thing",
        state=Device.STATE_RETIRED,
        data_subject="dataSubjects/anna",
        processing_activity="processingActivities/health",
    )
    found = facts_of(RegistryResource(device=device))
    known = _known()
    if found is not None and found[1] is not None:
        known[found[0]] = found[1]
    record, kept = _pipeline(known)
    payload = b'{"observations": [{"property": "power", "value": 61}]}'

    recorded = await record(decode(Received(Door.MQTT, "noord", "wearable", NOW_US, JSON, payload), lambda _: "W"))

    assert (recorded.accepted_count, recorded.refused_count) == (0, 1)
    assert [(each.device, each.payload, each.rows) for each in kept.quarantined] == [("", b"", None)]


async def test_a_replay_keeps_the_gateway_rule() -> None:
    """Columns that a device sent for another are refused again, however often somebody replays them."""
    known = _known(lamp=DeviceFacts("thing", True, "", "", ""), spoofer=DeviceFacts("thing", True, "", "", ""))
    record, kept = _pipeline(known)
    payload = build_columns(["lamp"], ["power"], [0], [0], [NOW_US], [61.0]).packed().SerializeToString()
    await record(decode(Received(Door.MQTT, "noord", "spoofer", NOW_US, COLUMNS, payload), lambda _: "W"))
    (refused,) = kept.quarantined
    assert refused.rows is not None
    rows = columns_of(refused.rows).packed().SerializeToString()
    entry = QuarantineEntry(
        "id", NOW_US, refused.door, "noord", refused.device, refused.reason, refused.detail, 1, COLUMNS, rows
    )

    replayed = await record(decode_entry(entry, lambda _: "W"), quarantine=False)

    assert [each.reason for each in replayed.refusals] == [Reason.DEVICE_FOREIGN]
    assert not kept.portions


async def test_a_replay_of_rows_without_a_sender_needs_none() -> None:
    """Rows of the doors for programs name no sender, and are accepted once their device is known."""
    record, kept = _pipeline(_known(lamp=DeviceFacts("thing", True, "", "", "")))
    rows = build_columns(["lamp"], ["power"], [0], [0], [NOW_US], [61.0]).packed().SerializeToString()
    entry = QuarantineEntry("id", NOW_US, Door.GRPC, "noord", "lamp", Reason.DEVICE_UNKNOWN, "", 1, COLUMNS, rows)

    assert (await record(decode_entry(entry, lambda _: "W"), quarantine=False)).accepted_count == 1
    assert len(kept.portions) == 1


async def test_nobody_is_judged_before_the_registry_is_known() -> None:
    """Nothing of a payload that nobody can read is kept, and no answer refused, while it could be a person's."""
    registry, kept = Registry(dict, lambda: False), Kept()
    refuse = RefusePayload(personal=registry.personal, publisher=kept, counts=kept)
    error = InvalidArgument(Reason.PAYLOAD_UNDECODABLE, "not JSON")

    with pytest.raises(Unavailable):
        await refuse(
            error,
            door=Door.MQTT,
            district="noord",
            device="wearable",
            receipt_time_us=NOW_US,
            content_type=JSON,
            payload=b"{",
        )
    with pytest.raises(Unavailable):
        registry.speaks_for("noord", "cabinet", "lamp")

    assert not kept.quarantined
