"""Ways to change an exported audit log, as somebody would who owns the file, the database, or even the log's key."""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from maasloop.audit.chain import ORIGIN, link_hash
from maasloop.audit.checkpoints import Checkpoint
from maasloop.audit.entries import Verb, decode
from maasloop.audit.exports import Damaged, Export, Row
from maasloop.audit.notes import Note, SigningKey
from maasloop.audit.tree import Tree, leaf_hash
from maasloop.audit.verifying import verify


@dataclass(frozen=True, slots=True)
class Original:
    """A log that was really written, and the one old checkpoint that somebody kept."""

    text: str
    """The export."""
    kept: str
    kept_size: int
    key: SigningKey
    """Who forks the log has stolen it."""

    def rows(self) -> tuple[str, list[Row]]:
        """Return the newest checkpoint and the entries."""
        export = Export.read(io.StringIO(self.text))
        return export.note, list(export.rows)

    def written(self, note: str, rows: list[Row]) -> str:
        """Return an export of other entries."""
        file = io.StringIO()
        Export(self.key.name, note, rows).write(file)
        return file.getvalue()


def flipped(original: Original, chance: random.Random) -> str:
    """Change a byte of the file."""
    raw = bytearray(original.text.encode())
    raw[chance.randrange(len(raw))] ^= chance.randrange(1, 256)
    return raw.decode("utf-8", "replace")


def deleted(original: Original, chance: random.Random) -> str:
    """Leave out some entries in a row, half the time with positions and links that follow again."""
    note, rows = original.rows()
    first = chance.randrange(len(rows))
    return original.written(note, _perhaps_relinked(rows[:first] + rows[first + chance.randint(1, 5) :], chance))


def reordered(original: Original, chance: random.Random) -> str:
    """Swap two entries, half the time with positions and links that follow again."""
    note, rows = original.rows()
    one, other = chance.sample(range(len(rows)), 2)
    rows[one], rows[other] = rows[other], rows[one]
    return original.written(note, _perhaps_relinked(rows, chance))


def truncated(original: Original, chance: random.Random) -> str:
    """Cut the file, anywhere or between two lines; half the time under the old checkpoint in place of the newest."""
    if chance.random() < 0.5:
        return original.text[: chance.randrange(len(original.text))]
    note, rows = original.rows()
    sizes = [size for size in range(len(rows)) if size != original.kept_size]
    return original.written(chance.choice((note, original.kept)), rows[: chance.choice(sizes)])


def unlinked(original: Original, chance: random.Random) -> str:
    """Give an entry the link of another one."""
    note, rows = original.rows()
    one, other = chance.sample(range(len(rows)), 2)
    rows[one] = replace(rows[one], chain=rows[other].chain)
    return original.written(note, rows)


def inserted(original: Original, chance: random.Random) -> str:
    """Put an entry between the others, with positions and links that follow."""
    note, rows = original.rows()
    rows.insert(chance.randrange(len(rows) + 1), _other(chance.choice(rows), chance))
    return original.written(note, relinked(rows))


def forked(original: Original, chance: random.Random) -> str:
    """Write another past up to the old checkpoint, and sign it with the log's own key."""
    _, rows = original.rows()
    place = chance.randrange(original.kept_size)
    rows = relinked([*rows[:place], _other(rows[place], chance), *rows[place + 1 :]])
    tree = Tree()
    tree.extend(leaf_hash(row.body.encode()) for row in rows)
    newest = Checkpoint.read(Note.parse(original.rows()[0]))
    forged = replace(newest, size=tree.size, root=tree.root(), chain=rows[-1].chain)
    return original.written(str(forged.signed(original.key)), rows)


MUTATIONS: tuple[Callable[[Original, random.Random], str], ...] = (
    flipped, deleted, reordered, truncated, unlinked, inserted, forked,
)  # fmt: skip


def found(original: Original, text: str, *, chained: bool = True) -> bool:
    """Tell whether a change is found, from the file, the public key and the old checkpoint alone."""
    try:
        verify(Export.read(io.StringIO(text)), original.key.verifying, [original.kept], chained=chained)
    except Damaged:
        return True
    return False


def relinked(rows: list[Row]) -> list[Row]:
    """Return entries with positions and links that follow."""
    link, made = ORIGIN, []
    for position, row in enumerate(rows, 1):
        link = link_hash(link, leaf_hash(row.body.encode()))
        made.append(Row(position, row.body, link))
    return made


def _perhaps_relinked(rows: list[Row], chance: random.Random) -> list[Row]:
    return relinked(rows) if chance.random() < 0.5 else rows


def _other(row: Row, chance: random.Random) -> Row:
    said = replace(decode(row.body), actor=f"person/mallory-{chance.getrandbits(32)}", verb=Verb.CHANGED)
    return replace(row, body=said.encode())
