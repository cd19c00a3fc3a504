"""The keys of a stack's audit logs, made at its first start, and where checkpoints and public keys lie.

Secret, under ``secrets/audit``: what signs each service's log, and the city's key of pseudonyms. Public, under ``audit``:
``keys/{service}.vkey``, by which anybody checks a log, and ``checkpoints``, of which an old one is worth keeping elsewhere.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from maasloop.audit.notes import SigningKey
from maasloop.identity.certificates import TRUST_DOMAIN
from maasloop.identity.secret_files import secret_directory, write_secret

PSEUDONYMS_KEY = "pseudonyms.key"
PSEUDONYMS_KEY_BYTES = 32
KEY_SUFFIX, PUBLIC_SUFFIX = ".key", ".vkey"


@dataclass(frozen=True, slots=True)
class AuditFiles:
    """The files of one state directory."""

    state: Path

    @property
    def secrets(self) -> Path:
        """What services read."""
        return self.state / "secrets" / "audit"

    @property
    def keys(self) -> Path:
        """What anybody may read."""
        return self.state / "audit" / "keys"

    @property
    def checkpoints(self) -> Path:
        """The newest checkpoint of each log."""
        return self.state / "audit" / "checkpoints"

    @property
    def witness(self) -> Path:
        """What a witness on this machine has seen."""
        return self.state / "audit" / "witness"

    @property
    def pseudonyms_key(self) -> Path:
        """The key that hides data subjects, in hexadecimal digits."""
        return self.secrets / PSEUDONYMS_KEY

    def log_keys(self) -> list[str]:
        """Return the texts of the public keys."""
        return [path.read_text(encoding="utf-8") for path in sorted(self.keys.glob(f"*{PUBLIC_SUFFIX}"))]

    def ensure(self, services: Iterable[str]) -> None:
        """Make what is missing; keys that are there stay."""
        secret_directory(self.secrets)
        for directory in (self.keys, self.checkpoints):
            directory.mkdir(parents=True, exist_ok=True)
        if not self.pseudonyms_key.exists():
            write_secret(self.pseudonyms_key, (secrets.token_hex(PSEUDONYMS_KEY_BYTES) + "\n").encode())
        for service in services:
            path = self.secrets / f"{service}{KEY_SUFFIX}"
            if not path.exists():
                key = SigningKey.generate(f"{TRUST_DOMAIN}/audit/{service}")
                write_secret(path, (key.text() + "\n").encode())
            public = SigningKey.parse(path.read_text(encoding="utf-8")).verifying
            (self.keys / f"{service}{PUBLIC_SUFFIX}").write_text(f"{public}\n", encoding="utf-8")
