"""Keys in the form of NATS."""

import base64

import nkeys
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maasloop.core.errors import InvalidArgument
from maasloop.identity.nats.keys import CurveKey, KeyPair, Role, role_of, verify


@pytest.mark.parametrize(("role", "letter"), [(Role.OPERATOR, "O"), (Role.ACCOUNT, "A"), (Role.USER, "U")])
def test_a_key_shows_its_role(role: Role, letter: str) -> None:
    """Public keys begin with the letter of their role, seeds with S and that letter, and the nkeys library agrees."""
    key = KeyPair.generate(role)

    assert key.public_key[0] == letter
    assert key.seed[:2] == f"S{letter}"
    assert role_of(key.public_key) is role
    assert nkeys.from_seed(key.seed.encode()).public_key.decode().rstrip("=") == key.public_key


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_signature_holds_for_its_message_only(message: bytes, other: bytes) -> None:
    """Another message, or another key, is refused."""
    key, stranger = KeyPair.generate(Role.USER), KeyPair.generate(Role.USER)
    signature = key.sign(message)

    assert verify(key.public_key, message, signature)
    assert verify(key.public_key, other, signature) == (other == message)
    assert not verify(stranger.public_key, message, signature)


@pytest.mark.parametrize("text", ["", "SU", "not a key", "S" * 58, "ÄÖ", "SUAM" + "A" * 54])
def test_what_is_no_seed_is_refused(text: str) -> None:
    """Neither a signing nor a curve key is made of other text."""
    for kind in (KeyPair, CurveKey):
        with pytest.raises(InvalidArgument):
            kind(text)


def test_a_changed_letter_is_noticed() -> None:
    """The sum behind a key finds every single changed letter of a public key."""
    public = KeyPair.generate(Role.ACCOUNT).public_key

    for place, letter in enumerate(public):
        other = "B" if letter != "B" else "C"
        assert role_of(public[:place] + other + public[place + 1 :]) is None


def test_sealed_for_one_key() -> None:
    """What is sealed opens with the receiver's key and the sender's name, and no other."""
    server, callout, stranger = CurveKey.generate(), CurveKey.generate(), CurveKey.generate()
    sealed = server.seal(b"who is this?", callout.public_key)

    assert callout.open(sealed, server.public_key) == b"who is this?"
    assert sealed.startswith(b"xkv1")
    for opener, sender, text in (
        (stranger, server, sealed),
        (callout, stranger, sealed),
        (callout, server, sealed[:-1]),
        (callout, server, sealed[4:]),
    ):
        with pytest.raises(InvalidArgument):
            opener.open(text, sender.public_key)


def test_a_curve_key_survives_its_seed() -> None:
    """A curve key made again from its seed is the same key, and shows X."""
    key = CurveKey.generate()

    assert CurveKey(key.seed).public_key == key.public_key
    assert key.public_key[0] == "X"
    assert key.seed[:2] == "SX"
    assert len(base64.b32decode(key.seed + "=" * (-len(key.seed) % 8))) == 36


def test_a_key_hides_its_seed() -> None:
    """What is printed or logged of a key names the public one only."""
    for key in (KeyPair.generate(Role.USER), CurveKey.generate()):
        assert key.seed not in repr(key)
        assert key.public_key in repr(key)
