"""What a small payload may make ingest keep in memory."""

import json
import tracemalloc
from typing import Any

import pytest

from maasloop.bus.columns import build_columns
from maasloop.core.domains import Domain
from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.ingest.adapters.resolving import Registry
from maasloop.ingest.domain.facts import Facts, Kind, PropertyFacts
from maasloop.ingest.domain.outcome import Door
from maasloop.ingest.entrypoints.payloads import PAIRS_MAX, SENML, Received, decode
from maasloop.ingest.ports import Batch, code

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


class _Counted(dict[str, Facts]):
    """Facts that count how often they are asked for."""

    asked = 0

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - as dict has it
        """Return a fact."""
        self.asked += 1
        return super().get(key, default)


def test_many_dictionaries_in_turn_are_resolved_once() -> None:
    """Two hundred thousand series, a thousand a batch, are looked up when they come first and not in the next round."""
    known = _Counted(KNOWN)
    registry = Registry(lambda: known)
    columns = [
        build_columns(
            [f"d{first + number}" for number in range(1_000)],
            ["p"],
            range(1_000),
            [0] * 1_000,
            [0] * 1_000,
            [1.0] * 1_000,
        )
        for first in range(0, 200_000, 1_000)
    ]
    batches = [Batch("noord", Door.GRPC, each, NOW_US) for each in columns]
    for batch in batches:
        registry(batch)
    first_round = known.asked

    reasons = [registry(batch).reason for batch in batches]

    assert first_round >= 200_000
    assert known.asked == first_round
    assert {reason.tobytes() for reason in reasons} == {bytes([code(Reason.DEVICE_UNKNOWN)]) * 1_000}
