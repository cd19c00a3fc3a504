"""Keys of NATS: Ed25519 for who signs, X25519 for who seals, written in the base32 form that nats-server reads.

The form (nkeys): a prefix that says the role, 32 bytes, and a CRC-16 in little-endian order. A public key begins with
the letter of its role, a seed with ``S`` and that letter.
"""

import base64
import binascii
import os
from enum import Enum
from typing import Self

import nkeys
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.public import Box, PrivateKey, PublicKey
from nacl.signing import VerifyKey

from maasloop.core.errors import InvalidArgument

RAW_BYTES = 32
CRC_BYTES = 2
CURVE_PREFIX = 23 << 3
"""``X``; the nkeys library does not know it."""
SEAL_VERSION = b"xkv1"
"""Begins what one X25519 key sealed for another."""
SEED_ROLE_SHIFT = 5
SEED_LOW_BITS = 31


class Role(Enum):
    """Whose key it is; the value is the prefix byte."""

    OPERATOR = nkeys.PREFIX_BYTE_OPERATOR
    ACCOUNT = nkeys.PREFIX_BYTE_ACCOUNT
    USER = nkeys.PREFIX_BYTE_USER
    SERVER = nkeys.PREFIX_BYTE_SERVER


class KeyPair:
    """An Ed25519 key that signs JWTs, or the nonce of a server."""

    def __init__(self, seed: str) -> None:
        """Take a seed (``SO…``, ``SA…``, ``SU…``); refuses what is none with ``InvalidArgument``."""
        try:
            _checked(seed)
            self._pair = nkeys.from_seed(seed.encode())
            self.public_key: str = self._pair.public_key.decode().rstrip("=")
        except (nkeys.NkeysError, InvalidArgument, ValueError) as error:
            message = "this is not the seed of a NATS key"
            raise InvalidArgument("CREDENTIALS_INVALID", message) from error
        self.seed = seed

    @classmethod
    def generate(cls, role: Role) -> Self:
        """Make a key from the system's random numbers."""
        return cls(nkeys.encode_seed(os.urandom(RAW_BYTES), role.value).decode())

    def sign(self, message: bytes) -> bytes:
        """Return the signature of 64 bytes (RFC 8032)."""
        return bytes(self._pair.sign(message))

    def __repr__(self) -> str:
        """Name the public key only."""
        return f"KeyPair({self.public_key})"


def verify(public_key: str, message: bytes, signature: bytes) -> bool:
    """Tell whether the holder of a public key signed a message."""
    try:
        VerifyKey(decode(public_key)).verify(message, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def role_of(public_key: str) -> Role | None:
    """Return whose public key it is; nothing for what is none."""
    try:
        raw = decode(public_key, whole=True)
        return Role(raw[0])
    except (InvalidArgument, ValueError):
        return None


class CurveKey:
    """An X25519 key: opens what was sealed for it and seals for others (nats-server's ``xkey``)."""

    def __init__(self, seed: str) -> None:
        """Take a seed (``SX…``)."""
        raw = _checked(seed)
        if raw[0] != _seed_prefix(CURVE_PREFIX)[0] or len(raw) != RAW_BYTES + 2:
            message = "this is not the seed of a NATS curve key"
            raise InvalidArgument("CREDENTIALS_INVALID", message)
        self._private = PrivateKey(raw[2:])
        self.seed = seed
        self.public_key = _encoded(bytes([CURVE_PREFIX]) + bytes(self._private.public_key))

    @classmethod
    def generate(cls) -> Self:
        """Make a key from the system's random numbers."""
        return cls(_encoded(_seed_prefix(CURVE_PREFIX) + os.urandom(RAW_BYTES)))

    def seal(self, message: bytes, receiver: str) -> bytes:
        """Encrypt for the holder of a public key (``X…``)."""
        return SEAL_VERSION + bytes(Box(self._private, PublicKey(decode(receiver))).encrypt(message))

    def open(self, sealed: bytes, sender: str) -> bytes:
        """Decrypt what the holder of a public key sealed for us; refuses the rest with ``InvalidArgument``."""
        try:
            if sealed.startswith(SEAL_VERSION):
                return Box(self._private, PublicKey(decode(sender))).decrypt(sealed[len(SEAL_VERSION) :])
        except (CryptoError, ValueError):
            pass
        message = "this was not sealed for us by that key"
        raise InvalidArgument("CREDENTIALS_INVALID", message)

    def __repr__(self) -> str:
        """Name the public key only."""
        return f"CurveKey({self.public_key})"


def decode(public_key: str, *, whole: bool = False) -> bytes:
    """Return the 32 bytes of a public key, with ``whole`` its prefix before them."""
    raw = _checked(public_key)
    if len(raw) != RAW_BYTES + 1:
        message = "this is not a public key of NATS"
        raise InvalidArgument("CREDENTIALS_INVALID", message)
    return raw if whole else raw[1:]


def _checked(text: str) -> bytes:
    """Decode base32 and check the sum behind it."""
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) <= CRC_BYTES or bytes(nkeys.crc16_checksum(raw[:-CRC_BYTES])) != raw[-CRC_BYTES:]:
        message = "this is not a key of NATS"
        raise InvalidArgument("CREDENTIALS_INVALID", message)
    return raw[:-CRC_BYTES]


def _encoded(raw: bytes) -> str:
    return base64.b32encode(raw + bytes(nkeys.crc16_checksum(raw))).decode().rstrip("=")


def _seed_prefix(prefix: int) -> bytes:
    return bytes([nkeys.PREFIX_BYTE_SEED | prefix >> SEED_ROLE_SHIFT, (SEED_LOW_BITS & prefix) << 3])
