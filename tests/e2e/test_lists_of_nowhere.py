"""A list of a district that does not exist is empty, whichever service is asked."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.descriptor import MethodDescriptor
from tests.security.matrix.requests import methods, request

from maasloop.cli import calling

if TYPE_CHECKING:
    from maasloop.stack.local import LocalStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

DOORS = {door.stub: door for door in vars(calling).values() if isinstance(door, calling.Door)}


def _has_parent(method: MethodDescriptor) -> bool:
    asked = method.input_type
    return "parent" in asked.fields_by_name or "selection" in asked.fields_by_name


async def _listed(stack: "LocalStack", method: MethodDescriptor) -> Any:  # noqa: ANN401 - a message of any type
    door = DOORS[f"{method.containing_service.name}Stub"]
    async with stack.channel(door.service) as channel:
        stub = getattr(import_module(door.module), door.stub)(channel)
        return await getattr(stub, method.name)(request(method, "nowhere", "x"))


async def test_lists_of_an_unknown_district_are_empty(shared_stack: "LocalStack") -> None:
    """Every method that lists below a parent, from the descriptors: no error, and nothing in the answer."""
    lists = [each for each in methods() if each.name.startswith("List") and _has_parent(each)]
    found = {each.full_name: await _listed(shared_stack, each) for each in lists}

    assert len(found) > 10
    assert not [name for name, answer in found.items() if answer.ListFields()]
