"""Signed notes and the keys that sign them, as C2SP signed-note: readable text, and a line for each signature.

A key is a text of one line: ``PRIVATE+KEY+{name}+{key id}+{base64}`` for who signs, ``{name}+{key id}+{base64}`` for who
checks. Two algorithms are known: Ed25519 (1), for logs, and the time-stamped cosignature/v1 of witnesses (4), which says
that its signer saw nothing that contradicts the note.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

LOG, WITNESS = 1, 4
NOTE_CHARACTERS_MAX = 65_536
_PRIVATE = "PRIVATE+KEY+"
_SEPARATOR = "\n\n"
_DASH = "\u2014 "
_KEY_ID_BYTES = 4
_TIME_BYTES = 8


class NoteRefused(ValueError):
    """A text that is no note, or that no known key signed."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """Who checks."""

    name: str
    algorithm: int
    public: bytes

    @property
    def id(self) -> bytes:
        """Return the four bytes by which a signature names its key."""
        named = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return hashlib.sha256(named).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        """Return the text of the key."""
        return f"{self.name}+{self.id.hex()}+{_encode(bytes([self.algorithm]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a key, or raise ``NoteRefused``."""
        name, key_id, data = _parts(text.strip())
        key = cls(name, data[0], data[1:])
        if key.algorithm not in {LOG, WITNESS} or key.id.hex() != key_id:
            message = f"the key of {name!r} is damaged or of an algorithm that is not known"
            raise NoteRefused(message)
        return key

    def signed_at(self, body: str, signature: bytes) -> int | None:
        """Return the time (s since 1970) of a valid cosignature, 0 for a log's valid signature, None for no valid one."""
        time_s = 0
        if self.algorithm == WITNESS:
            time_s, signature = int.from_bytes(signature[:_TIME_BYTES]), signature[_TIME_BYTES:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, _said(self.algorithm, body, time_s))
        except (InvalidSignature, ValueError):
            return None
        return time_s


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Who signs; its text is a secret."""

    name: str
    algorithm: int
    seed: bytes

    @classmethod
    def generate(cls, name: str, algorithm: int = LOG) -> Self:
        """Make a key of its own for a log or a witness."""
        return cls(name, algorithm, Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def verifying(self) -> VerifyingKey:
        """Return the key by which others check."""
        return VerifyingKey(self.name, self.algorithm, self._private().public_key().public_bytes_raw())

    def __repr__(self) -> str:
        """Never show the secret."""
        return f"SigningKey({self.name!r})"

    def text(self) -> str:
        """Return the secret text of the key."""
        data = _encode(bytes([self.algorithm]) + self.seed)
        return f"{_PRIVATE}{self.name}+{self.verifying.id.hex()}+{data}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the secret text of a key, or raise ``NoteRefused`` without a word of it."""
        bare = text.strip()
        if not bare.startswith(_PRIVATE):
            message = "not a signing key: PRIVATE+KEY+name+id+base64 is needed"
            raise NoteRefused(message)
        name, key_id, data = _parts(bare.removeprefix(_PRIVATE))
        key = cls(name, data[0], data[1:])
        if key.algorithm not in {LOG, WITNESS} or key.verifying.id.hex() != key_id:
            message = f"the signing key of {name!r} is damaged or of an algorithm that is not known"
            raise NoteRefused(message)
        return key

    def sign(self, body: str, *, time_s: int = 0) -> str:
        """Return the signature line of a body; a witness says when, in seconds since 1970."""
        stamp = time_s.to_bytes(_TIME_BYTES) if self.algorithm == WITNESS else b""
        signature = self._private().sign(_said(self.algorithm, body, time_s))
        return f"{_DASH}{self.name} {_encode(self.verifying.id + stamp + signature)}\n"

    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)


@dataclass(frozen=True, slots=True)
class Note:
    """A body, which ends with a line break, and its signature lines."""

    body: str
    signatures: tuple[str, ...]

    def __str__(self) -> str:
        """Return the text of the note."""
        return self.body + "\n" + "".join(self.signatures)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a note, or raise ``NoteRefused``."""
        body, separator, lines = text.partition(_SEPARATOR)
        signatures = lines.splitlines(keepends=True)
        well = separator and signatures and all(line.startswith(_DASH) and line.endswith("\n") for line in signatures)
        if not well or len(text) > NOTE_CHARACTERS_MAX:
            message = "not a signed note"
            raise NoteRefused(message)
        return cls(body + "\n", tuple(signatures))

    def signed_by(self, key: VerifyingKey) -> int | None:
        """Return when ``key`` signed (0 for a log), or None if it did not."""
        for line in self.signatures:
            name, _, encoded = line.removeprefix(_DASH).strip().partition(" ")
            signature = _decode(encoded)
            if name == key.name and signature[:_KEY_ID_BYTES] == key.id:
                return key.signed_at(self.body, signature[_KEY_ID_BYTES:])
        return None

    def signed(self, key: SigningKey, *, time_s: int = 0) -> Self:
        """Return the note with one signature more."""
        return type(self)(self.body, (*self.signatures, key.sign(self.body, time_s=time_s)))


def _said(algorithm: int, body: str, time_s: int) -> bytes:
    return (f"cosignature/v1\ntime {time_s}\n{body}" if algorithm == WITNESS else body).encode()


def _parts(text: str) -> tuple[str, str, bytes]:
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    data = _decode(encoded)
    if not name or any(letter.isspace() for letter in name) or len(data) != 1 + 32:
        message = "not a key: name+id+base64 is needed"
        raise NoteRefused(message)
    return name, key_id, data


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    # One text for the same bytes: base64 alone would let the last letter differ.
    return data if _encode(data) == text else b""
