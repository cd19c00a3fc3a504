"""Names of people without the people: a data subject is written as a keyed hash.

A log can't forget, so it never knows a data subject. The same name gives the same pseudonym in all logs of a city, so
that who has the city's key can still ask what was done to one person's data, and nobody can once the key is destroyed.
"""

import hmac
import re

KEY_BYTES = 32
_DIGITS = 32
_SUBJECT = re.compile(r"(?<![a-zA-Z])dataSubjects/([^/]+)")


class Pseudonyms:
    """Replaces data subjects in resource names."""

    def __init__(self, key: bytes) -> None:
        """Take the city's key, at least ``KEY_BYTES`` of it."""
        if len(key) < KEY_BYTES:
            message = f"the key of pseudonyms has fewer than {KEY_BYTES} bytes"
            raise ValueError(message)
        self._key = key

    def of(self, name: str) -> str:
        """Return the pseudonym of a data subject: HMAC-SHA256 (RFC 2104), its first 128 bits in hexadecimal digits."""
        return hmac.new(self._key, name.encode(), "sha256").hexdigest()[:_DIGITS]

    def resource(self, name: str) -> str:
        """Return a resource name in which every ``dataSubjects/{name}`` is a pseudonym."""
        return _SUBJECT.sub(lambda match: f"dataSubjects/{self.of(match[1])}", name)
