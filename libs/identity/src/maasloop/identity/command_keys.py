"""Keys of commands: one signs, devices hold the public halves of those that they still trust.

Ed25519 (RFC 8032). The signing key is a PKCS #8 file that nobody else reads, the public halves are a JWK Set (RFC 7517,
RFC 8037) that may be handed to anybody. A key is named by its thumbprint (RFC 7638). A rotation keeps the key before it in
the set, so that devices which hold either set trust what is signed meanwhile.
"""

import base64
import hashlib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNING_KEY_FILE = "signing-key.pem"
VERIFICATION_KEYS_FILE = "verification-keys.json"
KEYS_MAX = 8
"""Keys of a set; a rotation leaves two."""
KEY_FILE_BYTES_MAX = 64 * 1024
_PRIVATE_MODE = 0o600


class KeyUnusable(ValueError):
    """A key file is missing, readable by others, or holds something else."""


class Keys(Protocol):
    """Whom a device trusts."""

    def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Return the key of that id, if it is trusted."""
        ...


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key that signs."""

    id: str
    private: Ed25519PrivateKey

    @classmethod
    def make(cls) -> Self:
        """Make a key from the machine's random numbers."""
        private = Ed25519PrivateKey.generate()
        return cls(key_id(private.public_key()), private)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key file; ``KeyUnusable`` where it is no Ed25519 key, or every account of the machine may read it."""
        if path.exists() and path.stat().st_mode & stat.S_IROTH:
            message = f"{path} may be read by everybody: make it 0600"
            raise KeyUnusable(message)
        pem = _read(path)
        try:
            private = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            message = f"{path} holds no private key"
            raise KeyUnusable(message) from error
        if not isinstance(private, Ed25519PrivateKey):
            message = f"{path} holds no Ed25519 key"
            raise KeyUnusable(message)
        return cls(key_id(private.public_key()), private)

    def save(self, path: Path) -> None:
        """Write the key so that only its owner can read it, at once or not at all."""
        pem = self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write(path, pem)


class VerificationKeys:
    """A fixed set of trusted keys."""

    def __init__(self, keys: Sequence[Ed25519PublicKey]) -> None:
        """Trust these."""
        self._keys = {key_id(key): key for key in keys}

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read a JWK Set; ``KeyUnusable`` where it is none, or has a key that is not Ed25519."""
        try:
            found = json.loads(text)["keys"]
            keys = [_public(entry) for entry in found]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            message = "a JWK Set of Ed25519 keys is expected"
            raise KeyUnusable(message) from error
        if not 0 < len(keys) <= KEYS_MAX:
            message = f"a key set holds 1 to {KEYS_MAX} keys, this one {len(keys)}"
            raise KeyUnusable(message)
        return cls(keys)

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids, the newest first."""
        return tuple(self._keys)

    def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Return the key of that id, if it is trusted."""
        return self._keys.get(key_id)

    def with_newest(self, key: Ed25519PublicKey) -> "VerificationKeys":
        """Return the set after a rotation: this key and the one before it."""
        return VerificationKeys([key, *list(self._keys.values())[:1]])

    def json(self) -> str:
        """Return the JWK Set."""
        return json.dumps({"keys": [_jwk(key) for key in self._keys.values()]}, indent=1)


class KeySetFile:
    """The trusted keys in a file; the file is read again when a key is asked for that it did not hold."""

    def __init__(self, path: Path) -> None:
        """Read it; ``KeyUnusable`` where it can't be."""
        self._path = path
        self._seen_ns = 0
        self._keys = VerificationKeys([])
        self._read_again()

    def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Return the key of that id, if it is trusted."""
        found = self._keys.find(key_id)
        if found is None and self._changed():
            self._read_again()
            found = self._keys.find(key_id)
        return found

    def _changed(self) -> bool:
        try:
            return self._path.stat().st_mtime_ns != self._seen_ns
        except OSError:
            return False

    def _read_again(self) -> None:
        text = _read(self._path)
        self._seen_ns = self._path.stat().st_mtime_ns
        self._keys = VerificationKeys.parse(text)


def load_verification_keys(path: Path) -> VerificationKeys:
    """Read a set of trusted keys; ``KeyUnusable`` where the file is none."""
    return VerificationKeys.parse(_read(path))


def ensure_command_keys(directory: Path) -> None:
    """Make the signing key and the set of trusted keys in a directory, where they are not there yet."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (directory / SIGNING_KEY_FILE).exists():
        rotate_command_keys(directory)


def rotate_command_keys(directory: Path) -> None:
    """Put a new signing key into a directory; the set is written first, so that no signature comes before its key."""
    trusted = directory / VERIFICATION_KEYS_FILE
    before = load_verification_keys(trusted) if trusted.exists() else VerificationKeys([])
    key = SigningKey.make()
    _write(trusted, before.with_newest(key.private.public_key()).json().encode())
    key.save(directory / SIGNING_KEY_FILE)


def key_id(key: Ed25519PublicKey) -> str:
    """Return the thumbprint of a key (RFC 7638): base64url of SHA-256 over its required members."""
    members = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": _x(key)}, separators=(",", ":"))
    return _encode(hashlib.sha256(members.encode()).digest())


def _jwk(key: Ed25519PublicKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": _x(key), "kid": key_id(key), "use": "sig", "alg": "EdDSA"}


def _public(entry: Mapping[str, str]) -> Ed25519PublicKey:
    if (entry["kty"], entry["crv"]) != ("OKP", "Ed25519"):
        message = "the key is not Ed25519"
        raise ValueError(message)
    text = entry["x"]
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def _x(key: Ed25519PublicKey) -> str:
    return _encode(key.public_bytes_raw())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(KEY_FILE_BYTES_MAX)
    except OSError as error:
        message = f"{path} can't be read: {error.strerror}"
        raise KeyUnusable(message) from error


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_MODE), "wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    beside.replace(path)
