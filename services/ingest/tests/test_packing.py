"""Columns are cut into messages that the broker takes."""

import numpy as np
import pytest

from maasloop.bus.columns import build_columns
from maasloop.ingest.adapters.packing import MESSAGE_MAX_BYTES, parts, size_bytes


@pytest.mark.parametrize("devices", [10, 9_000])
def test_parts_are_small_enough_and_hold_everything(devices: int) -> None:
    """A large batch is cut into messages of at most 512 KiB, whether its dictionary is small or large."""
    count = 60_000
    columns = build_columns(
        [f"device-{number:020d}" for number in range(devices)],
        ["power"],
        np.arange(count) % devices,
        np.zeros(count, np.uint32),
        np.arange(count),
        np.arange(count, dtype=np.float64),
    )

    cut = list(parts(columns))

    assert all(size_bytes(part) <= MESSAGE_MAX_BYTES for part in cut)
    assert sorted(np.concatenate([part.value for part in cut]).tolist()) == list(range(count))
    for part in cut:
        names = part.names().devices
        assert names[part.device_index[0]] == f"device-{int(part.value[0]) % devices:020d}"
