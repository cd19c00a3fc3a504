"""The chain: each entry's link hashes the one before and its own leaf, so that no row can move, vanish or come between.

The tree proves the same from a checkpoint; the chain names the first position that is wrong, and PostgreSQL computes it
within the transaction that writes the entry.
"""

import hashlib
from collections.abc import Iterable, Iterator

ORIGIN = bytes(32)
"""The link before the first entry."""
_LINK = b"\x02"


def link_hash(previous: bytes, leaf: bytes) -> bytes:
    """Return the link of an entry with this leaf hash."""
    return hashlib.sha256(_LINK + previous + leaf).digest()


def links(leaves: Iterable[bytes], previous: bytes = ORIGIN) -> Iterator[bytes]:
    """Yield the link of each leaf, in order."""
    for leaf in leaves:
        previous = link_hash(previous, leaf)
        yield previous
