"""Security codes of a site: what comes from a secret is compared and never shown."""

import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from maasloop.rsmp.supervised import read_secret

FILE = "file:"


class SecurityCodes:
    """The codes by level; they can be compared and changed."""

    def __init__(self, codes: Mapping[int, str]) -> None:
        """Keep a code a level."""
        self._codes = dict(codes)

    def right(self, level: int, code: str) -> bool:
        """Compare in a time that tells nothing."""
        return hmac.compare_digest(self._codes[level].encode(), code.encode())

    def change(self, level: int, code: str) -> None:
        """Take another code, as long as the process lives."""
        self._codes[level] = code


def read_codes(references: Iterable[tuple[int, str]], folder: Path) -> SecurityCodes:
    """Follow the references of the levels; the path of a file starts at ``folder``.

    Raises:
        maasloop.rsmp.errors.SheetInvalid: a reference leads to nothing; its reason names the reference.
    """
    found = {}
    for level, reference in references:
        place = f"{FILE}{folder / reference.removeprefix(FILE)}" if reference.startswith(FILE) else reference
        found[level] = read_secret(place)
    return SecurityCodes(found)
