"""Rows of an import, and what is wrong with them."""

from collections.abc import Sequence
from dataclasses import dataclass

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

from .device import Device

ROWS_MAX = 100_000
FAULTS_NAMED_MAX = 100
SENTENCES_MAX = 5
"""A status travels in headers, which have a limit: all named rows are in its metadata, a few sentences in its text."""


@dataclass(frozen=True, slots=True)
class RowFault:
    """Why a row cannot be imported; ``row`` is its line in the file, from 1."""

    row: int
    field: str
    sentence: str


@dataclass(frozen=True, slots=True)
class ImportRow:
    """A device and the line it came from."""

    row: int
    device: Device


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did; a projection that holds ``revision`` knows all of it."""

    created_count: int
    unchanged_count: int
    revision: int


def refusal(faults: Sequence[RowFault], total: int) -> InvalidArgument:
    """Return the refusal of a file: nothing of it was imported."""
    named = sorted(faults, key=lambda fault: fault.row)[:FAULTS_NAMED_MAX]
    sentences = [f"row {fault.row}: {fault.sentence}" for fault in named[:SENTENCES_MAX]]
    more = f"; {total} rows are wrong" if total > len(sentences) else ""
    metadata = {
        "row": ",".join(str(fault.row) for fault in named),
        "field": ",".join(fault.field for fault in named),
    }
    return InvalidArgument(Reason.IMPORT_ROW_INVALID, f"nothing was imported: {'; '.join(sentences)}{more}", metadata)
