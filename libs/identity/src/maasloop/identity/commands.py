"""Commands under seal: the field itself refuses what the platform did not sign, or signed for another or another time.

A command travels as a JWS in compact serialization (RFC 7515) with EdDSA over Ed25519 (RFC 8037), which libraries of
devices know. Its payload is the JSON of the command with a counter and a nonce beside what it asks for. The counter
rises with everything that one platform signs, so also a device's; a command below the newest that a device took is an
old one, whoever brings it. The same envelope again is a repetition: it asks for the same answer and nothing else.
"""

import base64
import binascii
import json
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature

from maasloop.identity.command_keys import Keys, SigningKey

ALGORITHM = "EdDSA"
TYPE = "maasloop-command"
NONCE_BYTES = 16
ENVELOPE_BYTES_MAX = 128 * 1024
"""More than a sequence of 32 steps for 64 signal groups."""
AHEAD_MAX_US = 3_600_000_000
"""How long before its beginning a command may arrive."""
LIFETIME_MAX_US = 930_000_000
"""Longest time that a command has left when it begins: the kernel's 15 minutes and half a minute of delay."""
COUNTER_MAX = 2**63 - 1
GENERATION_BITS = 30
"""Commands that a process signs before it reaches into the counters of a process started a second later."""

_PARTS = 3
_SIGNATURE_BYTES = 64


class Refusal(StrEnum):
    """Why a device does not take a command."""

    MALFORMED = "MALFORMED"
    KEY_UNKNOWN = "KEY_UNKNOWN"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    TARGET_FOREIGN = "TARGET_FOREIGN"
    EXPIRED = "EXPIRED"
    LIFETIME_INVALID = "LIFETIME_INVALID"
    REORDERED = "REORDERED"
    REPLAYED = "REPLAYED"


class CommandRefused(Exception):
    """A device does not take this, and does not answer it: whoever forged it would hear what it forged for."""

    def __init__(self, reason: Refusal, detail: str) -> None:
        """Say why."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Opened:
    """What a device may carry out."""

    payload: bytes
    """JSON of ``DeviceCommand``."""
    repeated: bool
    """The same envelope was taken before: answer it again, carry nothing out."""


class Guard(Protocol):
    """Stands between a topic and a device."""

    def open(self, envelope: bytes, *, device: str, now_us: int) -> Opened:
        """Return the command for a device, or raise ``CommandRefused``; time is the district's."""
        ...


class CommandSealer:
    """Signs commands for devices."""

    def __init__(
        self, key: SigningKey, counters: Iterator[int], random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        """Sign with the key; ``counters`` rise, also over restarts: see ``counters_of``."""
        self._key = key.private
        self._counters = counters
        self._random = random
        self._header = _encode(_compact({"alg": ALGORITHM, "kid": key.id, "typ": TYPE}))

    def seal(self, command: Mapping[str, object]) -> bytes:
        """Return the envelope of a command, which holds the fields of ``DeviceCommand`` but for counter and nonce."""
        nonce = _encode(self._random(NONCE_BYTES)).decode()
        payload = _compact({**command, "counter": str(next(self._counters)), "nonce": nonce})
        signed = self._header + b"." + _encode(payload)
        return signed + b"." + _encode(self._key.sign(signed))


def counters_of(generation: int) -> Iterator[int]:
    """Return rising counters that begin where no earlier generation ends.

    A generation is drawn at each start, higher than all before it and at least the seconds since the epoch, so that it
    rises also where a database was restored from a backup.
    """
    counter = generation << GENERATION_BITS
    while counter < COUNTER_MAX:
        counter += 1
        yield counter


@dataclass(frozen=True, slots=True)
class _Claims:
    district: str
    device: str
    counter: int
    nonce: str
    not_before_us: int
    expire_us: int


class CommandGuard:
    """The device's side: checks signature, target, time and order, in that order, before anything is carried out.

    Holds one counter and one nonce a device. A device that keeps ``counters`` over a restart of its own also refuses
    what was recorded before it; without them a recorded command counts as new until its expiry.
    """

    def __init__(
        self,
        district: str,
        devices: Collection[str],
        keys: Keys,
        *,
        skew_us: int = 0,
        counters: Mapping[str, int] | None = None,
    ) -> None:
        """Take commands for these devices; ``skew_us`` is how wrong the device's clock may be."""
        self._district = district
        self._devices = frozenset(devices)
        self._keys = keys
        self._skew_us = skew_us
        self._newest = {device: (counter, "") for device, counter in (counters or {}).items()}

    @property
    def counters(self) -> dict[str, int]:
        """Return the newest counter a device, to be kept where a restart doesn't lose it."""
        return {device: counter for device, (counter, _) in self._newest.items()}

    def open(self, envelope: bytes, *, device: str, now_us: int) -> Opened:
        """Return the command that arrived on a device's topic, or raise ``CommandRefused``."""
        payload = self._verified(envelope)
        claims = _claims(payload)
        if (claims.district, claims.device) != (self._district, device) or device not in self._devices:
            raise CommandRefused(Refusal.TARGET_FOREIGN, f"it is for {claims.device} in {claims.district}")
        self._require_time(claims, now_us)
        return Opened(payload, repeated=self._repeated(claims))

    def _verified(self, envelope: bytes) -> bytes:
        if len(envelope) > ENVELOPE_BYTES_MAX:
            raise CommandRefused(Refusal.MALFORMED, f"it is larger than {ENVELOPE_BYTES_MAX} bytes")
        parts = envelope.split(b".")
        if len(parts) != _PARTS:
            raise CommandRefused(Refusal.MALFORMED, "it is no compact JWS")
        header_text, payload, signature = (_decode(part) for part in parts)
        header = _object(header_text)
        if header.get("alg") != ALGORITHM or header.get("typ") != TYPE or "crit" in header:
            raise CommandRefused(Refusal.MALFORMED, f"its header is not that of {TYPE} under {ALGORITHM}")
        key_id = header.get("kid")
        key = self._keys.find(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise CommandRefused(Refusal.KEY_UNKNOWN, "its key is not trusted here")
        if len(signature) != _SIGNATURE_BYTES:
            raise CommandRefused(Refusal.SIGNATURE_INVALID, "its signature has another length")
        try:
            key.verify(signature, envelope[: envelope.rindex(b".")])
        except InvalidSignature:
            raise CommandRefused(Refusal.SIGNATURE_INVALID, "its signature is another's") from None
        return payload

    def _require_time(self, claims: _Claims, now_us: int) -> None:
        if now_us >= claims.expire_us + self._skew_us:
            raise CommandRefused(Refusal.EXPIRED, f"it ended at {claims.expire_us}, it is {now_us}")
        ahead_us = claims.not_before_us - now_us
        lasts_us = claims.expire_us - max(claims.not_before_us, now_us - self._skew_us)
        if ahead_us > AHEAD_MAX_US + self._skew_us or not 0 < lasts_us <= LIFETIME_MAX_US + self._skew_us:
            raise CommandRefused(Refusal.LIFETIME_INVALID, f"it begins in {ahead_us} us and lasts {lasts_us} us")

    def _repeated(self, claims: _Claims) -> bool:
        """Remember the command as the newest of its device, or tell that it is that already."""
        counter, nonce = self._newest.get(claims.device, (0, ""))
        if claims.counter > counter:
            self._newest[claims.device] = (claims.counter, claims.nonce)
            return False
        if claims.counter < counter:
            raise CommandRefused(Refusal.REORDERED, f"its counter {claims.counter} is below {counter}")
        if claims.nonce != nonce:
            raise CommandRefused(Refusal.REPLAYED, f"its counter {claims.counter} was used by another")
        return True


def _claims(payload: bytes) -> _Claims:
    found = _object(payload)
    texts = [found.get(name) for name in ("district", "device", "nonce")]
    numbers = [_number(found.get(name)) for name in ("counter", "notBeforeTimeUs", "expireTimeUs")]
    district, device, nonce = (text if isinstance(text, str) else "" for text in texts)
    counter, not_before_us, expire_us = numbers
    if not (district and device and nonce and 0 < counter <= COUNTER_MAX):
        raise CommandRefused(Refusal.MALFORMED, "it lacks a target, a counter or a nonce")
    return _Claims(district, device, counter, nonce, not_before_us, expire_us)


def _number(value: object) -> int:
    # 64-bit integers are decimal texts in protobuf JSON.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(COUNTER_MAX)):
        return int(value)
    raise CommandRefused(Refusal.MALFORMED, "a number of it is none")


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise CommandRefused(Refusal.MALFORMED, "a part of it is no JSON") from None
    if not isinstance(found, dict):
        raise CommandRefused(Refusal.MALFORMED, "a part of it is no JSON object")
    return found


def _compact(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(part: bytes) -> bytes:
    try:
        data = base64.b64decode(part + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise CommandRefused(Refusal.MALFORMED, "a part of it is no base64url") from None
    # Base64 can write the same bytes in several ways; a signature has one.
    if _encode(data) != part:
        raise CommandRefused(Refusal.MALFORMED, "a part of it is no canonical base64url")
    return data
