"""Devices are found by the names that other systems have for them, as the registry changes."""

import json
from dataclasses import replace
from typing import cast

import pytest

from maasloop.bus.columns import Columns
from maasloop.core.errors import InvalidArgument, Unavailable
from maasloop.core.reasons import Reason
from maasloop.ingest.adapters.external_names import ExternalNames
from maasloop.ingest.domain.cayenne_lpp import CayenneLpp
from maasloop.ingest.domain.facts import DeviceFacts, Facts, Named, TypeFacts
from maasloop.ingest.domain.outcome import Door
from maasloop.ingest.entrypoints.batches import Received
from maasloop.ingest.entrypoints.events import CHIRPSTACK, Unreadable, decode_event, push_type
from maasloop.ingest.entrypoints.payloads import JSON, SENML, decode

NOW_US = 1_764_000_000_000_000
EUI = "70b3d57ed0051234"
NAME = "districts/noord/devices/probe"
PROBE = DeviceFacts("probe", True, "", "", "", (f"lorawan:{EUI}",))
CODEC = CayenneLpp({(1, 103): "temperature"})
TYPE = TypeFacts(frozenset({"temperature"}), CODEC)
EVENT = {"deviceInfo": {"devEui": EUI}, "fCnt": 42, "fPort": 1, "data": "AWcBEA=="}


def _names(known: dict[str, Facts]) -> ExternalNames:
    names = ExternalNames(known.get)
    names.changed(known)
    return names


def test_a_name_moves_from_device_to_device() -> None:
    """A change that takes a name from one device and gives it to another leaves it with the second, in any order."""
    for order in ((NAME, "districts/noord/devices/b"), ("districts/noord/devices/b", NAME)):
        known: dict[str, Facts] = {NAME: PROBE, "deviceTypes/probe": TYPE}
        names = _names(known)
        assert names(f"lorawan:{EUI}") == Named("noord", "probe", CODEC)

        after = {NAME: replace(PROBE, external_ids=()), "districts/noord/devices/b": PROBE}
        known.update(after)
        names.changed({name: after[name] for name in order})

        assert names(f"lorawan:{EUI}") == Named("noord", "b", CODEC)


def test_a_device_that_is_gone_has_no_name() -> None:
    """A retired device is nobody's any more; before the first facts nobody can be told."""
    known: dict[str, Facts] = {NAME: PROBE}
    names = _names(known)

    del known[NAME]
    names.changed({NAME: None})

    assert names(f"lorawan:{EUI}") is None
    with pytest.raises(Unavailable):
        ExternalNames(known.get, lambda: False)(f"lorawan:{EUI}")


def _received(content_type: str, document: object, sender: str = "") -> Received:
    return Received(Door.HTTP, "noord", sender, NOW_US, content_type, json.dumps(document).encode())


def test_an_event_becomes_a_batch_of_its_device() -> None:
    """The device is the sender, its frame counter comes along, and kelvins become what the property is in."""
    names = _names({NAME: PROBE, "deviceTypes/probe": TYPE})

    batch = decode_event(_received(CHIRPSTACK, EVENT), names, {"temperature": "K"}.get)

    assert (batch.district, batch.sender) == ("noord", "probe")
    assert batch.columns.value.tolist() == pytest.approx([300.35])
    assert [each.sequence for each in cast("Columns", batch.columns).sequences] == [42]


def test_a_known_device_whose_payload_says_nothing_is_named() -> None:
    """What refuses the payload of a known device says whose it is, so that a person's is not kept."""
    names = _names({NAME: replace(PROBE, external_ids=("sensor-community:esp8266-1",))})

    with pytest.raises(Unreadable) as caught:
        decode_event(_received(push_type("esp8266-1"), []), names, lambda _: None)

    assert caught.value.named.device == "probe"
    with pytest.raises(InvalidArgument) as unknown:
        decode_event(_received(push_type("esp8266-2"), []), names, lambda _: None)
    assert unknown.value.reason == Reason.DEVICE_UNKNOWN


def test_a_payloads_count_is_its_senders() -> None:
    """With a sender the count is the sender's, without one that of the only device; of two devices it is nobody's."""
    one = {"sequence": 7, "observations": [{"device": "lamp", "property": "power", "value": 1}]}
    two = {"sequence": 7, "observations": [*one["observations"], {"device": "b", "property": "power", "value": 1}]}  # type: ignore[misc]  # a list

    def counted(document: object, sender: str) -> list[str]:
        columns = decode(_received(JSON, document, sender), lambda _: None).columns
        return [columns.names().devices[each.device_index] for each in columns.sequences]

    assert counted(one, "") == ["lamp"]
    assert counted(one, "cabinet") == ["cabinet"]
    assert counted(two, "") == []


def test_units_are_converted_reading_by_reading() -> None:
    """One series in three units: each number is converted by its own, and one that cannot be is refused by its place."""
    records = [{"n": "lamp/power", "u": unit, "v": 2} for unit in ("W", "kW", "Cel", "mW")]

    batch = decode(_received(SENML, records), {"power": "W"}.get)

    assert batch.columns.value.tolist() == [2.0, 2_000.0, 0.002]
    assert (batch.undecoded, batch.payload_index) == ({2: Reason.UNIT_MISMATCH}, [0, 1, 3])
    assert batch.undecoded_devices == {"lamp"}
