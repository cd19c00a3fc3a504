"""What a small payload may make ingest keep in memory."""

import json
import tracemalloc

import pytest

from maasloop.core.domains import Domain
from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.ingest.adapters.resolving import Registry
from maasloop.ingest.domain.facts import Facts, Kind, PropertyFacts
from maasloop.ingest.domain.outcome import Door
from maasloop.ingest.entrypoints.payloads import PAIRS_MAX, SENML, Received, decode

NOW_US = 1_764_000_000_000_000
MEMORY_MAX_BYTES = 16 * 1024 * 1024
KNOWN: dict[str, Facts] = {"observedProperties/p": PropertyFacts(Domain.ENERGY, Kind.NUMBER, "W", 0, 10, 2**60)}


def _names(devices: int, properties: int) -> Received:
    """Name each device and each property once, with as few records as that takes."""
    records = [
        {"n": f"d{number % devices}/p{number % properties}", "v": 1} for number in range(max(devices, properties))
    ]
    return Received(Door.HTTP, "noord", "", NOW_US, SENML, json.dumps(records, separators=(",", ":")).encode())


def test_names_that_allow_too_many_pairs_are_refused() -> None:
    """A pack that names 1,000 devices and 1,000 properties is refused before a table of their pairs is made."""
    with pytest.raises(InvalidArgument, match="split the batch") as refusal:
        decode(_names(1_000, 1_000), lambda _: "W")
    assert refusal.value.reason == Reason.COLUMNS_INCONSISTENT


def test_the_largest_table_of_pairs_takes_little_memory() -> None:
    """The most pairs that one batch may name take less than 16 MiB, from bytes to what is known about them."""
    devices = 500
    received = _names(devices, PAIRS_MAX // devices)
    tracemalloc.start()
    try:
        Registry(lambda: KNOWN)(decode(received, lambda _: "W"))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < MEMORY_MAX_BYTES
