"""A log is believed as far as its entries, its links and every checkpoint agree; a witness believes no second past."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from maasloop.audit.chain import ORIGIN, link_hash
from maasloop.audit.checkpoints import Checkpoint
from maasloop.audit.entries import Entry, Verb, decode
from maasloop.audit.exports import Damaged, Export, Row
from maasloop.audit.notes import WITNESS, Note, NoteRefused, SigningKey
from maasloop.audit.pseudonyms import Pseudonyms
from maasloop.audit.tree import Tree, consistency_proof, leaf_hash
from maasloop.audit.verifying import verify
from maasloop.audit.witnessing import Forked, ProofMissing, Witness

KEY = SigningKey("city/audit/consent", 1, bytes(range(32)))
ENTRY = Entry(
    time_us=1_700_000_000_000_000, verb=Verb.CHANGED, actor="person/ada", resource="districts/noord/devices/a"
)


@dataclass
class Log:
    """A log in memory, written as a service writes one."""

    said: str = ""
    rows: list[Row] = field(default_factory=list)
    tree: Tree = field(default_factory=Tree)
    link: bytes = ORIGIN

    def append(self, count: int) -> "Log":
        """Add entries that differ from each other."""
        for _ in range(count):
            body = replace(ENTRY, call=f"{self.tree.size:016x}", reason=self.said).encode()
            leaf = leaf_hash(body.encode())
            self.link = link_hash(self.link, leaf)
            self.tree.append(leaf)
            self.rows.append(Row(self.tree.size, body, self.link))
        return self

    def note(self) -> str:
        """Return a checkpoint of the present."""
        promise = Checkpoint(KEY.name, self.tree.size, self.tree.root(), self.link, 1_700_000_000 + self.tree.size)
        return str(promise.signed(KEY))

    def export(self) -> Export:
        """Return the whole log."""
        return Export(KEY.name, self.note(), list(self.rows))


def relinked(rows: list[Row]) -> list[Row]:
    """Return rows with positions and links that follow, as who changes a database can compute them."""
    link, made = ORIGIN, []
    for position, row in enumerate(rows, 1):
        link = link_hash(link, leaf_hash(row.body.encode()))
        made.append(Row(position, row.body, link))
    return made


def test_an_entry_is_canonical_text() -> None:
    """An entry is the same text in every language, without what was not said; another text is no entry."""
    text = replace(ENTRY, reason='é "x"\n').encode()

    assert text == (
        '{"actor":"person/ada","reason":"é \\"x\\"\\n","resource":"districts/noord/devices/a",'
        '"time_us":1700000000000000,"verb":"changed"}'
    )
    assert decode(text).reason == 'é "x"\n'
    for other in (text.replace(",", ", ", 1), "[]", "{}", '{"time_us":1}', text.replace("changed", "done")):
        with pytest.raises(ValueError, match=r".+"):
            decode(other)


def test_an_entry_holds_what_a_table_can() -> None:
    """NUL and lone surrogates go, long texts are cut, and what comes out is canonical again."""
    text = replace(ENTRY, resource="a\x00b\ud800" + "x" * 1_000).encode()

    assert decode(text).resource == "ab?" + "x" * 509


def test_an_honest_log_is_believed() -> None:
    """A log that only grew agrees with every checkpoint that was kept, also after it travelled as a file."""
    log = Log()
    kept = [log.append(count).note() for count in (0, 3, 4, 6)]
    file = io.StringIO()
    assert log.append(5).export().write(file) == 18
    file.seek(0)

    verified = verify(Export.read(file), KEY.verifying, kept)

    assert verified.size == 18
    assert verified.kept_sizes == (0, 3, 7, 13)


def test_an_empty_log_is_believed() -> None:
    """A log without an entry and without a checkpoint says nothing wrong."""
    assert verify(Export(KEY.name, "", []), KEY.verifying).size == 0


CHANGES: dict[str, Callable[[list[Row]], list[Row]]] = {
    "changed": lambda rows: [*rows[:2], Row(3, rows[2].body.replace("ada", "eve"), rows[2].chain), *rows[3:]],
    "deleted": lambda rows: [*rows[:2], *rows[3:]],
    "swapped": lambda rows: [rows[1], rows[0], *rows[2:]],
    "truncated": lambda rows: rows[:-1],
    "emptied": lambda _: [],
    "doubled": lambda rows: [*rows[:3], rows[2], *rows[3:]],
    "changed with links": lambda rows: relinked([Row(1, rows[0].body.replace("ada", "eve"), rows[0].chain), *rows[1:]]),
    "deleted with links": lambda rows: relinked(rows[1:]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_log_is_not_believed(change: Callable[[list[Row]], list[Row]]) -> None:
    """Whatever is done to the rows, even with links computed anew, contradicts the checkpoint."""
    log = Log().append(9)

    with pytest.raises(Damaged):
        verify(Export(KEY.name, log.note(), change(log.rows)), KEY.verifying)


def test_another_past_under_the_right_key_contradicts_an_old_checkpoint() -> None:
    """Who holds the key of the log can write a new log, and is found out by who kept a checkpoint of the old one."""
    kept = Log().append(5).note()
    forged = Log(said="FORGED").append(9).export()
    assert verify(forged, KEY.verifying).size == 9

    with pytest.raises(Damaged, match="signed"):
        verify(forged, KEY.verifying, [kept])
    with pytest.raises(Damaged, match="promises"):
        verify(Log().append(4).export(), KEY.verifying, [kept])


def test_without_the_chain_a_wrong_link_is_overlooked() -> None:
    """The chain half of the check is what finds a link that does not follow; switched off, nothing does."""
    log = Log().append(4)
    rows = [log.rows[0], replace(log.rows[1], chain=bytes(32)), *log.rows[2:]]
    export = Export(KEY.name, log.note(), rows)

    assert verify(export, KEY.verifying, chained=False).size == 4
    with pytest.raises(Damaged, match="entry 2 does not follow"):
        verify(export, KEY.verifying)


def test_a_file_has_one_form() -> None:
    """Another spelling of the same entry or head is a change as well."""
    file = io.StringIO()
    log = Log().append(2)
    log.export().write(file)
    text = file.getvalue()

    for other in (text.upper(), text.replace("[2, ", "[2,"), text.replace(log.link.hex(), log.link.hex().upper())):
        with pytest.raises(Damaged):
            verify(Export.read(io.StringIO(other)), KEY.verifying)


@pytest.mark.parametrize("text", ["", "{}\n", '{"format":"maasloop-audit-1"}\n', "[]\n"])
def test_what_is_no_export_is_refused(text: str) -> None:
    """A file of another kind ends with a sentence."""
    with pytest.raises(Damaged, match="no export"):
        Export.read(io.StringIO(text))


@pytest.mark.parametrize(
    "line", ['["2", "ab", "{}"]\n', '[2, 5, "{}"]\n', '[2, "ab", 5]\n', '[2, "ab", "{}"]', "[2]\n", "5\n", "{\n", "\n"]
)
def test_a_line_that_is_no_entry_is_damage(line: str) -> None:
    """Whatever an altered line holds, the reader says so and does not fail on it."""
    with pytest.raises(Damaged, match="no entry"):
        Row.parse(line)


def test_a_witness_signs_what_continues() -> None:
    """Checkpoints that follow from each other are cosigned; one whose proof begins elsewhere is not, yet."""
    key, log = SigningKey.generate("witness", WITNESS), Log().append(3)
    witness = Witness(key, {KEY.name: KEY.verifying})
    witness.cosign(log.note(), 0, [], time_s=1)
    old = log.tree.copy()
    log.append(4)
    proof = consistency_proof(old, [leaf_hash(row.body.encode()) for row in log.rows[3:]])

    with pytest.raises(ProofMissing):
        witness.cosign(log.note(), 2, proof, time_s=2)
    cosigned = witness.cosign(log.note(), 3, proof, time_s=2)

    assert cosigned.signed_by(key.verifying) == 2
    assert Checkpoint.opened(Note.parse(witness.seen[KEY.name]), KEY.verifying).size == 7
    assert witness.cosign(log.note(), 3, proof, time_s=3).signed_by(key.verifying) == 3
    with pytest.raises(NoteRefused):
        Witness(key, {}).cosign(log.note(), 0, [], time_s=1)


def test_a_witness_finds_a_fork() -> None:
    """Two logs under one key, shown to one witness, are both kept as evidence and neither is cosigned."""
    witness = Witness(SigningKey.generate("witness", WITNESS), {KEY.name: KEY.verifying})
    honest, other = Log().append(3), Log(said="FORGED").append(3)
    witness.cosign(honest.note(), 0, [], time_s=1)

    with pytest.raises(Forked) as found:
        witness.cosign(other.note(), 0, [], time_s=2)
    assert (found.value.seen, found.value.shown) == (witness.seen[KEY.name], other.note())

    old = other.tree.copy()
    other.append(1)
    proof = consistency_proof(old, [leaf_hash(other.rows[3].body.encode())])
    with pytest.raises(Forked):
        witness.cosign(other.note(), 3, proof, time_s=3)


def test_a_person_is_a_pseudonym() -> None:
    """A data subject is a keyed hash wherever its name stands, the same one each time; other names stay."""
    pseudonyms = Pseudonyms(b"k" * 32)
    hidden = pseudonyms.of("p-4711")

    assert pseudonyms.resource("dataSubjects/p-4711/consents/x") == f"dataSubjects/{hidden}/consents/x"
    assert pseudonyms.resource("districts/noord/devices/a") == "districts/noord/devices/a"
    assert Pseudonyms(b"l" * 32).of("p-4711") != hidden
    with pytest.raises(ValueError, match="bytes"):
        Pseudonyms(b"short")
