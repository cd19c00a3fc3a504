"""Puts large batches side by side into one message, without a loop over their rows or names.

Each batch stays a group of rows with a dictionary of its own, so that readers find what they know of it. The message
itself names every device once, as any other does: batches go together only where they name different devices and the
same observed properties. What tells this is kept by the bytes of a dictionary, because senders repeat theirs.
"""

from collections.abc import Sequence
from itertools import accumulate, combinations, count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maasloop.api.observation.v1.events_pb2 import RowGroup
from maasloop.api.observation.v1.observation_pb2 import SeriesDictionary
from maasloop.bus.columns import INDEX, ByDictionary, Columns, concatenated

DEVICES_MAX = 10_000
"""Devices that a message may name."""
KNOWN_BYTES_MAX = 16 * 1024 * 1024
"""Dictionaries of which it is known what they name, together."""
KNOWN_BYTES_EACH = 512
"""What is known of one takes this beside 8 bytes a device."""
APART_MAX = 65_536
"""Pairs of dictionaries of which it is known that they name no device in common: 10 MiB."""

_numbers = count()
_apart: set[tuple[int, int]] = set()


class Named(NamedTuple):
    """What a dictionary names."""

    devices: int
    devices_bytes: int
    """How many of its bytes are the devices; what follows are the properties. 0: it is written in another order."""
    hashes: NDArray[np.int64]
    """One of each device. Two devices of the same are taken for one, which only means that they travel apart."""
    number: int
    """No other dictionary that was looked at has it."""


def _find(dictionary: bytes) -> Named:
    names = SeriesDictionary.FromString(dictionary)
    devices = SeriesDictionary(devices=names.devices).SerializeToString()
    properties = SeriesDictionary(observed_properties=names.observed_properties).SerializeToString()
    devices_count = len(names.devices)
    if devices + properties != dictionary:
        return Named(devices_count, 0, np.empty(0, np.int64), next(_numbers))
    return Named(
        devices_count, len(devices), np.fromiter(map(hash, names.devices), np.int64, devices_count), next(_numbers)
    )


named = ByDictionary(_find, bytes_max=KNOWN_BYTES_MAX, bytes_each=lambda found: KNOWN_BYTES_EACH + found.hashes.nbytes)
"""What dictionaries name."""


def properties_of(columns: Columns) -> bytes:
    """Return what batches that may travel together share; nothing where a batch travels alone."""
    if columns.states or columns.positions or columns.sequences:
        return b""
    found = named(columns.dictionary)
    return columns.dictionary[found.devices_bytes :] if found.devices_bytes else b""


def one_after_another(batches: Sequence[Columns]) -> Columns:
    """Return batches of one dictionary as one."""
    if len(batches) == 1:
        return batches[0]
    return Columns(
        batches[0].dictionary,
        concatenated([batch.device_index for batch in batches]),
        concatenated([batch.property_index for batch in batches]),
        concatenated([batch.event_time_us for batch in batches]),
        concatenated([batch.value for batch in batches]),
    )


def side_by_side(batches: Sequence[Columns]) -> Columns | None:
    """Return batches of different dictionaries with the same properties as one; nothing where two name a device."""
    if len(batches) == 1:
        return batches[0]
    found = [named(batch.dictionary) for batch in batches]
    if not _name_different(found):
        return None
    firsts = accumulate((each.devices for each in found), initial=0)
    device_index = [batch.device_index + INDEX.type(first) for batch, first in zip(batches, firsts, strict=False)]
    names = [batch.dictionary[: each.devices_bytes] for batch, each in zip(batches, found, strict=True)]
    return Columns(
        b"".join([*names, batches[0].dictionary[found[0].devices_bytes :]]),
        concatenated(device_index),
        concatenated([batch.property_index for batch in batches]),
        concatenated([batch.event_time_us for batch in batches]),
        concatenated([batch.value for batch in batches]),
        groups=batches,
    )


def _name_different(found: Sequence[Named]) -> bool:
    """Tell whether no device is named twice; senders whose batches come together do so time and again."""
    pairs = list(combinations(sorted(each.number for each in found), 2))
    if _apart.issuperset(pairs):
        return True
    hashes = np.sort(np.concatenate([each.hashes for each in found]))
    if bool((hashes[1:] == hashes[:-1]).any()):
        return False
    if len(_apart) + len(pairs) > APART_MAX:
        _apart.clear()
    _apart.update(pairs)
    return True


def row_groups(columns: Columns) -> list[RowGroup]:
    """Return how the rows of a message lie."""
    return [
        RowGroup(row_count=len(group), devices_bytes=named(group.dictionary).devices_bytes) for group in columns.groups
    ]
