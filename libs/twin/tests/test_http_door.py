"""Readings posted to a door that goes away under the call."""

import ssl

import httpx2
import pytest

from maasloop.twin.devices.readings import Reading
from maasloop.twin.doors.http import HttpDoor

READING = Reading("dev-1", "airTemperature", 1_764_000_000_000_000, 8.5)


@pytest.mark.parametrize("broken", [httpx2.ReadError("gone"), BrokenPipeError("gone"), ssl.SSLError("gone")])
async def test_a_link_that_breaks_is_tried_again(broken: Exception) -> None:
    """What the HTTP library names, and what comes from below TLS as it is, count as no answer."""
    left = [broken]

    def answer(request: httpx2.Request) -> httpx2.Response:
        if left:
            raise left.pop()
        return httpx2.Response(200, json={"accepted": 1})

    async with httpx2.AsyncClient(base_url="http://door", transport=httpx2.MockTransport(answer)) as client:
        receipt = await HttpDoor(client, "harbour", {}).send_json("dev-1", [READING])

    assert receipt.taken == [READING]
