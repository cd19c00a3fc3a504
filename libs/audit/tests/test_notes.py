"""Keys, notes and checkpoints: only what the right key signed, byte for byte, is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maasloop.audit.checkpoints import Checkpoint
from maasloop.audit.notes import WITNESS, Note, NoteRefused, SigningKey, VerifyingKey

KEY = SigningKey("city/audit/consent", 1, bytes(range(32)))
CHECKPOINT = Checkpoint("city/audit/consent", 3, b"r" * 32, b"c" * 32, 1_700_000_000)


def test_a_known_key_is_read() -> None:
    """The key in the examples of the format is one: its id is computed as elsewhere."""
    key = VerifyingKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")

    assert key.name == "PeterNeumann"


def test_keys_survive_their_text() -> None:
    """A key is the same after it was written and read, and its repr shows no secret."""
    again = SigningKey.parse(KEY.text())

    assert again == KEY
    assert VerifyingKey.parse(str(KEY.verifying)) == KEY.verifying
    assert KEY.text().rpartition("+")[2] not in repr(KEY)


@pytest.mark.parametrize("text", ["", "a+b", "PRIVATE+KEY+a+00000000+AAAA", "a b+00000000+AAAA"])
def test_what_is_no_key_is_refused(text: str) -> None:
    """A text that is no key is refused, and not repeated."""
    with pytest.raises(NoteRefused):
        SigningKey.parse(text)
    with pytest.raises(NoteRefused):
        VerifyingKey.parse(text)


def test_a_checkpoint_travels_as_a_note() -> None:
    """A signed checkpoint is read back the same."""
    text = str(CHECKPOINT.signed(KEY))

    assert Checkpoint.opened(Note.parse(text), KEY.verifying) == CHECKPOINT


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_note_is_refused(place: int, change: int) -> None:
    """Any byte that is changed takes the signature its validity."""
    raw = bytearray(str(CHECKPOINT.signed(KEY)).encode())
    raw[place % len(raw)] ^= change
    text = raw.decode("utf-8", "replace")

    with pytest.raises(NoteRefused):
        Checkpoint.opened(Note.parse(text), KEY.verifying)


def test_a_cosignature_says_when() -> None:
    """A witness signs the body with a time, which cannot be moved."""
    witness = SigningKey.generate("witness", WITNESS)
    note = CHECKPOINT.signed(KEY).signed(witness, time_s=1_700_000_060)

    assert Note.parse(str(note)).signed_by(witness.verifying) == 1_700_000_060
    assert note.signed_by(KEY.verifying) == 0
    assert note.signed_by(SigningKey.generate("witness", WITNESS).verifying) is None


def test_a_key_signs_for_its_own_log_only() -> None:
    """One service cannot sign the log of another."""
    with pytest.raises(NoteRefused):
        CHECKPOINT.signed(SigningKey.generate("city/audit/ingest"))
