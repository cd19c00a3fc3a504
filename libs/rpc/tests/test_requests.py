"""Repetitions are recognised, pages continue, masks name fields."""

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from maasloop.api.device.v1 import device_pb2, device_service_pb2
from maasloop.core.errors import InvalidArgument
from maasloop.rpc.requests import mask_of, paging, request_digest


def test_a_request_is_the_same_whatever_its_id() -> None:
    """The digest tells bodies apart and leaves the id out."""
    one = device_service_pb2.CreateDeviceRequest(device_id="a", request_id="1")
    again = device_service_pb2.CreateDeviceRequest(device_id="a", request_id="2")
    other = device_service_pb2.CreateDeviceRequest(device_id="b", request_id="1")

    assert request_digest(one) == request_digest(again) != request_digest(other)
    assert one.request_id == "1"


def test_pages_continue_where_they_ended() -> None:
    """A token gives its position to the same method and arguments only, and the last page has none."""
    first = paging(device_service_pb2.ListDevicesRequest(page_size=5), parent="a")
    token = first.next_token(["x", "y"], more=True)

    assert (first.position, first.limit) == ([], 5)
    assert paging(device_service_pb2.ListDevicesRequest(page_token=token), parent="a").position == ["x", "y"]
    assert first.next_token(["x"], more=False) == ""
    with pytest.raises(InvalidArgument):
        paging(device_service_pb2.ListDevicesRequest(page_token=token), parent="b")
    with pytest.raises(InvalidArgument):
        paging(device_service_pb2.ListDeviceGroupsRequest(page_token=token), parent="a")


def test_a_mask_names_fields_of_the_resource() -> None:
    """Other paths are refused; an empty mask stays empty."""
    device = device_pb2.Device()

    assert mask_of(FieldMask(paths=["groups"]), device) == {"groups"}
    assert mask_of(FieldMask(), device) == frozenset()
    with pytest.raises(InvalidArgument):
        mask_of(FieldMask(paths=["colour"]), device)
