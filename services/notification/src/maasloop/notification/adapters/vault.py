"""Secrets of webhooks at rest: AES-256-GCM under a key that is not in the database.

What is sealed is bound to its subscription, so that a secret copied into another row can't be opened there. The key file
holds one key a line (base64 of 32 bytes), the newest first: it seals, the others still open.
"""

import base64
import binascii
import hashlib
import secrets
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from maasloop.notification.domain.subscription import Subscription, Webhook

PREFIX = "aesgcm:"
KEY_BYTES = 32
KEYS_MAX = 4
_NONCE_BYTES = 12
_NAME_BYTES = 4


class KeyUnusable(ValueError):
    """A key file is missing, readable by others, or holds something else."""


class SecretUnreadable(Exception):
    """What is stored was sealed with a key that is not here, or was changed."""


class Vault:
    """Seals and opens; without keys it leaves everything as it is."""

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        """Seal with the first key."""
        self._keys = {hashlib.sha256(key).digest()[:_NAME_BYTES]: AESGCM(key) for key in keys}

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key file."""
        try:
            if path.stat().st_mode & stat.S_IROTH:
                message = f"{path} may be read by everybody: make it 0600"
                raise KeyUnusable(message)
            lines = path.read_text(encoding="ascii").split()
            keys = [base64.b64decode(line, validate=True) for line in lines]
        except OSError as error:
            message = f"{path} can't be read: {error.strerror}"
            raise KeyUnusable(message) from None
        except (UnicodeError, binascii.Error):
            keys = []
        if not 0 < len(keys) <= KEYS_MAX or any(len(key) != KEY_BYTES for key in keys):
            message = f"{path} must hold 1 to {KEYS_MAX} lines of base64 of {KEY_BYTES} random bytes"
            raise KeyUnusable(message)
        return cls(keys)

    def sealed(self, subscription: Subscription) -> Subscription:
        """Return a subscription as it is stored."""
        channel = subscription.channel
        if not isinstance(channel, Webhook) or not self._keys or channel.secret.startswith(PREFIX):
            return subscription
        name, key = next(iter(self._keys.items()))
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = key.encrypt(nonce, channel.secret.encode(), _owner(subscription))
        text = PREFIX + base64.b64encode(name + nonce + sealed).decode()
        return replace(subscription, channel=replace(channel, secret=text))

    def opened(self, subscription: Subscription) -> Subscription:
        """Return a stored subscription as it was, or raise ``SecretUnreadable``."""
        channel = subscription.channel
        if not isinstance(channel, Webhook) or not channel.secret.startswith(PREFIX):
            return subscription
        try:
            data = base64.b64decode(channel.secret.removeprefix(PREFIX), validate=True)
            key = self._keys[data[:_NAME_BYTES]]
            nonce, sealed = data[_NAME_BYTES : _NAME_BYTES + _NONCE_BYTES], data[_NAME_BYTES + _NONCE_BYTES :]
            secret = key.decrypt(nonce, sealed, _owner(subscription)).decode()
        except (KeyError, ValueError, InvalidTag) as error:
            message = (
                f"the secret of {subscription.district}/{subscription.id} can't be opened with the keys that are here"
            )
            raise SecretUnreadable(message) from error
        return replace(subscription, channel=replace(channel, secret=secret))


def _owner(subscription: Subscription) -> bytes:
    return f"{subscription.district}/{subscription.id}".encode()
