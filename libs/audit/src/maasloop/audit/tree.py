"""The Merkle tree of RFC 6962, section 2.1: one hash that stands for all entries of a log, and short proofs about it.

Leaves and nodes are hashed with different first bytes, so that neither can be taken for the other. A tree that only
grows is known by its *peaks*, the roots of the largest perfect subtrees from the left, one for each bit set in its size
(a compact range); appending a leaf costs one hash on average, and the whole tree is never in memory.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()
_LEAF, _NODE = b"\x00", b"\x01"


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry as a leaf."""
    return hashlib.sha256(_LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees."""
    return hashlib.sha256(_NODE + left + right).digest()


@dataclass(slots=True)
class Tree:
    """A tree that grows: its size and its peaks from the left."""

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse peaks that no tree of this size has."""
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            message = f"a tree of {self.size} leaves has {max(self.size, 0).bit_count()} peaks, not {len(self.peaks)}"
            raise ValueError(message)

    def append(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        merges = self.size
        while merges & 1:
            leaf = node_hash(self.peaks.pop(), leaf)
            merges >>= 1
        self.peaks.append(leaf)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add the hashes of leaves, in order."""
        for leaf in leaves:
            self.append(leaf)

    def copy(self) -> "Tree":
        """Return a tree that grows apart from this one."""
        return Tree(self.size, list(self.peaks))

    def root(self) -> bytes:
        """Return the hash that stands for all leaves."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root over hashes of leaves."""
    tree = Tree()
    tree.extend(leaves)
    return tree.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the path (RFC 6962 2.1.1) that proves the leaf at ``index`` (from 0) to be in the tree of these leaves."""
    if not 0 <= index < len(leaves):
        message = f"no leaf {index} in a tree of {len(leaves)}"
        raise ValueError(message)
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root_of(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root_of(leaves[:split])]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether ``proof`` shows a leaf's hash at ``index`` in the tree of ``size`` with this root (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and node == root


def consistency_proof(old: Tree, added: Sequence[bytes]) -> list[bytes]:
    """Return the proof (RFC 6962 2.1.2) that ``old`` is the beginning of itself with the ``added`` leaves."""
    size = old.size + len(added)
    if old.size in {0, size}:
        return []
    known = dict(zip(_places(old.size), old.peaks, strict=True))

    def subtree(start: int, end: int) -> bytes:
        return known[start, end] if end <= old.size else root_of(added[start - old.size : end - old.size])

    def prove(start: int, end: int, *, whole: bool) -> list[bytes]:
        if end == old.size:
            return [] if whole else [subtree(start, end)]
        middle = start + _split(end - start)
        if old.size <= middle:
            return [*prove(start, middle, whole=whole), subtree(middle, end)]
        return [*prove(middle, end, whole=False), subtree(start, middle)]

    return prove(0, size, whole=True)


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether ``proof`` shows the tree of ``old_size`` to be the beginning of the other one (RFC 9162 2.1.4.2)."""
    if not 0 <= old_size <= new_size:
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    path = [old_root, *proof] if old_size.bit_count() == 1 else list(proof)
    if not path:
        return False
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, node)
        place, last = place >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


def _split(size: int) -> int:
    """Return the largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _places(size: int) -> list[tuple[int, int]]:
    """Return where the peaks of a tree begin and end."""
    places, start = [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            places.append((start, start + (1 << level)))
            start += 1 << level
    return places
