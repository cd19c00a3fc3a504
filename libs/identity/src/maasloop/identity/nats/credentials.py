"""Credentials files: a user's token and seed in the form that every NATS client reads.

They are secrets: ``maasloop.identity.secret_files`` writes them.
"""

from maasloop.core.errors import InvalidArgument

_TEXT = """-----BEGIN NATS USER JWT-----
{token}
------END NATS USER JWT------

************************* IMPORTANT *************************
Whoever has this seed is this user. Keep it secret.

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------

*************************************************************
"""


def credentials_text(token: str, seed: str) -> str:
    """Return the text of a ``.creds`` file."""
    return _TEXT.format(token=token, seed=seed)


def read_credentials(text: str) -> tuple[str, str]:
    """Return token and seed of a ``.creds`` file; raises ``InvalidArgument``."""
    return _block(text, "NATS USER JWT"), _block(text, "USER NKEY SEED")


def _block(text: str, label: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    try:
        begin = next(index for index, line in enumerate(lines) if line.strip("-") == f"BEGIN {label}")
        return next(line for line in lines[begin + 1 :] if line)
    except StopIteration:
        message = f"the credentials file has no {label}"
        raise InvalidArgument("CREDENTIALS_INVALID", message) from None
