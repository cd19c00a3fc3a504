"""The key that signs commands stays with its owner; devices hold its public half and that of the key before it."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from maasloop.identity.command_keys import (
    SIGNING_KEY_FILE,
    VERIFICATION_KEYS_FILE,
    KeySetFile,
    KeyUnusable,
    SigningKey,
    VerificationKeys,
    ensure_command_keys,
    rotate_command_keys,
)


def test_keys_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    """The first start makes the files, the second one leaves them, and nobody else can read them."""
    directory = tmp_path / "commands"
    ensure_command_keys(directory)
    first = SigningKey.load(directory / SIGNING_KEY_FILE)
    ensure_command_keys(directory)
    assert SigningKey.load(directory / SIGNING_KEY_FILE).id == first.id
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


def test_a_rotation_overlaps(tmp_path: Path) -> None:
    """The key before the newest stays trusted for one rotation, and a device learns of the new one by itself."""
    ensure_command_keys(tmp_path)
    first = SigningKey.load(tmp_path / SIGNING_KEY_FILE)
    device = KeySetFile(tmp_path / VERIFICATION_KEYS_FILE)
    rotate_command_keys(tmp_path)
    second = SigningKey.load(tmp_path / SIGNING_KEY_FILE)
    assert device.find(second.id) is not None
    assert device.find(first.id) is not None
    rotate_command_keys(tmp_path)
    assert device.find(SigningKey.load(tmp_path / SIGNING_KEY_FILE).id) is not None
    assert device.find(first.id) is None
    assert device.find("nobody") is None


def test_a_key_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    """A secret that is no secret is not used."""
    path = tmp_path / SIGNING_KEY_FILE
    SigningKey.make().save(path)
    path.chmod(0o644)
    with pytest.raises(KeyUnusable, match="0600"):
        SigningKey.load(path)


def test_what_is_no_key_is_refused_with_the_file_named(tmp_path: Path) -> None:
    """A missing file, rubbish and a key of another kind are told apart from a key, without showing what is inside."""
    path = tmp_path / "key.pem"
    with pytest.raises(KeyUnusable, match=r"key\.pem can't be read"):
        SigningKey.load(path)
    path.write_text("hunter2")
    path.chmod(0o600)
    with pytest.raises(KeyUnusable, match="holds no private key") as caught:
        SigningKey.load(path)
    assert "hunter2" not in str(caught.value)
    path.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(KeyUnusable, match="no Ed25519 key"):
        SigningKey.load(path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA"}]}', '{"keys": [{"kty": 1}]}'],
)
def test_what_is_no_key_set_is_refused(text: str) -> None:
    """A device without a key to trust does not begin to trust nobody's."""
    with pytest.raises(KeyUnusable):
        VerificationKeys.parse(text)


def test_the_set_that_is_handed_out_holds_no_private_half(tmp_path: Path) -> None:
    """Only public members are in the file for devices."""
    ensure_command_keys(tmp_path)
    found = json.loads((tmp_path / VERIFICATION_KEYS_FILE).read_text())
    assert {name for key in found["keys"] for name in key} == {"kty", "crv", "x", "kid", "use", "alg"}
