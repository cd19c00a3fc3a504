"""The public keys of commands, in the file that whoever rotates them writes."""

from pathlib import Path

from maasloop.core.errors import FailedPrecondition
from maasloop.core.reasons import Reason
from maasloop.identity.command_keys import KeyUnusable, load_verification_keys


class FileCommandKeys:
    """Reads the file each time: a rotation replaces it."""

    def __init__(self, path: Path) -> None:
        """Name the file, a JWK Set."""
        self._path = path

    def jwk_set(self) -> str:
        """Return the set as it is now, or raise ``FailedPrecondition`` where the file is none."""
        try:
            return load_verification_keys(self._path).json()
        except KeyUnusable as error:
            raise FailedPrecondition(Reason.STATE_FORBIDS, str(error), {"state": "no command keys"}) from None
