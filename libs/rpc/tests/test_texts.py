"""Texts of requests hold no control characters, wherever they are kept."""

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from maasloop.api.device.v1.device_pb2 import Device
from maasloop.api.device.v1.device_service_pb2 import CreateDeviceRequest
from maasloop.api.notification.v1.alert_pb2 import AlertRule
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest
from maasloop.api.observation.v1.observation_pb2 import ObservationColumns, SeriesDictionary
from maasloop.core.errors import InvalidArgument
from maasloop.rpc.texts import require_texts
from maasloop.rpc.validation import validate


def _created(device: Device) -> CreateDeviceRequest:
    device.device_type = "deviceTypes/lamp"
    return CreateDeviceRequest(parent="districts/noord", device_id="a", device=device)


def _config(config: dict[str, object]) -> Device:
    return Device(config=json_format.ParseDict(config, Struct()))


@pytest.mark.parametrize(
    ("device", "field"),
    [
        (Device(display_name="la\0mp"), "device.display_name"),
        (Device(groups=["kade", "\x1b[2J"]), "device.groups[]"),
        (
            _config({"a": [{"b": "\x7f"}]}),
            "device.config.fields[].list_value.values[].struct_value.fields[].string_value",
        ),
        (_config({"\x85": 1}), "device.config.fields[]"),
    ],
)
def test_a_text_with_a_control_character_is_refused(device: Device, field: str) -> None:
    """Whichever text of a request it is in, also those that are kept as bytes and no database ever reads."""
    with pytest.raises(InvalidArgument) as refused:
        validate(_created(device))

    assert (refused.value.reason, dict(refused.value.metadata)) == ("TEXT_INVALID", {"field": field})


def test_texts_by_language_are_looked_at() -> None:
    """A map holds texts, too."""
    with pytest.raises(InvalidArgument):
        require_texts(AlertRule(title={"nl": "a\x08"}))


def test_tabs_and_line_ends_are_text() -> None:
    """What people write over several lines passes, in any script."""
    validate(_created(Device(display_name="Kade\t1\r\nÉén 灯")))


def test_readings_are_refused_one_by_one() -> None:
    """A batch passes: ingest refuses the reading that is named so, and keeps the others."""
    columns = ObservationColumns(dictionary=SeriesDictionary(devices=["\0"], observed_properties=["power"]))

    require_texts(RecordObservationsRequest(parent="districts/noord", observations=columns))
