"""The program that records readings over HTTP from this machine: its token, as the header that curl reads (``-H @FILE``).

The stack holds the key that signs tokens of programs, so that nobody has to be asked for one. Whoever may read the file
works on this machine, as with the operator's certificate.
"""

from collections.abc import Mapping
from pathlib import Path

from maasloop.core.clock import Clock
from maasloop.identity.principals import Grant
from maasloop.identity.secret_files import write_secret
from maasloop.identity.token_keys import TokenSigner

PROGRAM = "local-recorder"
GRANTS = (Grant("integrator", districts=None, domains=None),)
LIFETIME_S = 24 * 3600
RENEWAL_INTERVAL_S = 3600.0
"""Pause between two tokens; who reads the file at each use has one that lasts."""


def write_header(signing_key: Path, header: Path, clock: Clock) -> None:
    """Write ``authorization: Bearer …`` with a token of a day, readable by nobody else."""
    token, _ = TokenSigner(signing_key, clock, lifetime_s=LIFETIME_S).token(PROGRAM, PROGRAM, GRANTS)
    write_secret(header, f"authorization: Bearer {token}\n".encode("ascii"))


async def keep_header(signing_key: Path, header: Path, clock: Clock) -> None:
    """Renew the token for ever."""
    while True:
        await clock.sleep(RENEWAL_INTERVAL_S)
        write_header(signing_key, header, clock)


def read_header(header: Path) -> Mapping[str, str]:
    """Return the header by its name."""
    name, _, value = header.read_text(encoding="ascii").strip().partition(": ")
    return {name: value}
