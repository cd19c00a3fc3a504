"""The public keys by which the command line checks audit logs."""

from pathlib import Path
from typing import TYPE_CHECKING

from maasloop.cli.files import text_of
from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.stack.audit_keys import AuditFiles

if TYPE_CHECKING:
    from maasloop.audit.notes import VerifyingKey


def verifying_keys(given: list[str], files: AuditFiles) -> "dict[str, VerifyingKey]":
    """Return keys by origin: those that were given, as texts or files, else those of the checkout."""
    from maasloop.audit.notes import NoteRefused, VerifyingKey

    texts = [text_of(Path(each)) if Path(each).is_file() else each for each in given]
    try:
        keys = [VerifyingKey.parse(text) for text in texts or files.log_keys()]
    except NoteRefused as error:
        raise InvalidArgument(Reason.REQUEST_INVALID, str(error), {"field": "key"}) from None
    return {key.name: key for key in keys}
