"""Is a log what it promised? Checked from its entries, its key and any checkpoint that somebody kept.

Each entry is canonical, positions follow each other, each link follows from the one before, and at the size of every
checkpoint (the newest, which comes with the entries, and the kept ones) the tree has the root that was signed. What
changed after the oldest kept checkpoint is found only if it contradicts a signature; so keep a new one from time to time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .chain import ORIGIN, link_hash
from .checkpoints import Checkpoint
from .entries import decode
from .exports import Damaged, Export, Row
from .notes import Note, NoteRefused, VerifyingKey
from .tree import Tree, leaf_hash


@dataclass(frozen=True, slots=True)
class Verified:
    """What was proven."""

    origin: str
    size: int
    """Entries that are covered by the newest checkpoint."""
    time_s: int
    """When that was signed, seconds since 1970; 0 for none."""
    kept_sizes: tuple[int, ...]
    """Sizes of the kept checkpoints that agree."""
    begins_after: int = 0
    """Entries that were not there to be checked: the checkpoint behind them was believed."""


def verify(
    export: Export, key: VerifyingKey, kept: Sequence[str] = (), *, chained: bool = True, rooted: bool = True
) -> Verified:
    """Check an export against the newest checkpoint in it and those that were kept; raises ``Damaged`` with the place.

    ``chained`` and ``rooted`` switch a half of the check off, for a test that shows what it is good for.
    """
    newest = _opened(export.note, key, "the checkpoint of the export") if export.note else None
    checkpoints = [_opened(text, key, "a kept checkpoint") for text in kept]
    if export.origin != key.name:
        message = f"the export is of {export.origin!r}, not of {key.name!r}"
        raise Damaged(message)
    tree, link = _begun(export, key)
    begins_after = tree.size
    if older := [each.size for each in checkpoints if each.size < begins_after]:
        message = f"the checkpoint of {older[0]} entries needs the archive of the first {begins_after}"
        raise Damaged(message)
    promises = sorted([*checkpoints, *([newest] if newest else [])], key=lambda each: each.size)
    link = _walked(export.rows, promises, tree, link, chained=chained, rooted=rooted)
    if newest is None:
        if tree.size or checkpoints:
            message = "the export has no checkpoint of its own"
            raise Damaged(message)
        return Verified(export.origin, 0, 0, ())
    if rooted and tree.size != newest.size:
        message = f"the export has {tree.size} entries, its checkpoint promises {newest.size}"
        raise Damaged(message)
    if chained and link != newest.chain:
        message = f"the chain ends otherwise than the checkpoint of {newest.size} entries says"
        raise Damaged(message)
    kept_sizes = tuple(each.size for each in checkpoints)
    return Verified(export.origin, tree.size, newest.time_s, kept_sizes, begins_after)


def _begun(export: Export, key: VerifyingKey) -> tuple[Tree, bytes]:
    """Return tree and link before the first row: what a signed checkpoint says where the rows do not begin at the first."""
    if export.begin is None:
        return Tree(), ORIGIN
    before = _opened(export.begin.note, key, "the checkpoint that the export begins behind")
    try:
        tree = Tree(before.size, list(export.begin.peaks))
    except ValueError as error:
        raise Damaged(str(error)) from None
    if tree.root() != before.root:
        message = f"the peaks of the first {before.size} entries are not those that were signed"
        raise Damaged(message)
    return tree, before.chain


def _opened(text: str, key: VerifyingKey, what: str) -> Checkpoint:
    try:
        return Checkpoint.opened(Note.parse(text), key)
    except NoteRefused as error:
        message = f"{what} is refused: {error}"
        raise Damaged(message) from None


def _walked(
    rows: Iterable[Row], promises: Sequence[Checkpoint], tree: Tree, link: bytes, *, chained: bool, rooted: bool
) -> bytes:
    due = list(promises)
    _compare(tree, due, rooted=rooted)
    for row in rows:
        if chained and row.position != tree.size + 1:
            message = f"entry {tree.size + 1} is missing: entry {row.position} follows entry {tree.size}"
            raise Damaged(message)
        _require_entry(row)
        leaf = leaf_hash(row.body.encode())
        link = link_hash(link, leaf)
        if chained and row.chain != link:
            message = f"entry {row.position} does not follow from the entries before it"
            raise Damaged(message)
        tree.append(leaf)
        _compare(tree, due, rooted=rooted)
    if rooted and due:
        message = f"a checkpoint promises {due[0].size} entries, there are {tree.size}"
        raise Damaged(message)
    return link


def _require_entry(row: Row) -> None:
    try:
        decode(row.body)
    except ValueError as error:
        message = f"entry {row.position}: {error}"
        raise Damaged(message) from None


def _compare(tree: Tree, due: list[Checkpoint], *, rooted: bool) -> None:
    while due and due[0].size == tree.size:
        promised = due.pop(0)
        if rooted and tree.root() != promised.root:
            message = f"the first {tree.size} entries are not those that the checkpoint of {promised.time_s} s signed"
            raise Damaged(message)
