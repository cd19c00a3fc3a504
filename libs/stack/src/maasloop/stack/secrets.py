"""Secrets that a stack makes for itself at its first start: random, 0600, under ``.maasloop/secrets``, never constants."""

import base64
import os
import secrets
from pathlib import Path

from maasloop.identity.command_keys import SIGNING_KEY_FILE, VERIFICATION_KEYS_FILE, ensure_command_keys
from maasloop.identity.token_keys import make_signing_key

KEY_BYTES = 32
COMMANDS = "commands"
TOKENS = "tokens"


def command_key_file(directory: Path) -> Path:
    """Return the key that signs what actuation tells devices."""
    return directory / COMMANDS / SIGNING_KEY_FILE


def webhook_key_file(directory: Path) -> Path:
    """Return the key that seals the secrets of webhooks in the database."""
    return directory / "notification" / "webhook.key"


def token_signing_key_file(directory: Path) -> Path:
    """Return the key that signs tokens of programs."""
    return directory / TOKENS / "signing-key.json"


def recorder_header_file(directory: Path) -> Path:
    """Return the header that shows ingest's HTTP door a token of this machine."""
    return directory / TOKENS / "recorder.header"


def program_keys_file(directory: Path) -> Path:
    """Return the public keys by which every service checks them."""
    return directory / TOKENS / "keys.json"


def verification_keys_file(directory: Path) -> Path:
    """Return the public keys by which devices check commands."""
    return directory / COMMANDS / VERIFICATION_KEYS_FILE


def ensure_secrets(directory: Path) -> None:
    """Make what is not there yet."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    ensure_command_keys(directory / COMMANDS)
    signing_key = token_signing_key_file(directory)
    if not signing_key.exists():
        signing_key.parent.mkdir(mode=0o700, exist_ok=True)
        make_signing_key(signing_key, program_keys_file(directory))
    webhook_key = webhook_key_file(directory)
    if not webhook_key.exists():
        webhook_key.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(webhook_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
