"""Writes ``error-reasons.md``: what each refusal means."""

from generators.descriptors import File
from generators.pages import code, page, table
from generators.reasons import reasons

_INTRODUCTION = """
A refusal carries one of these names: in `google.rpc.ErrorInfo.reason` (domain `maasloop`) of a failed call, in refusals
and receipts of readings, in quarantine entries, in terminal commands, in dead letters, and as the label of counters.
Names never change their meaning; the number is for compact storage.
"""


def error_reasons_page(files: list[File]) -> str:
    """Return the page."""
    rows = ((code(reason.name), str(reason.number), reason.comment) for reason in reasons(files))
    source = "`proto/maasloop/api/common/v1/error_reason.proto`"
    return page("Error reasons", source, _INTRODUCTION, table(("reason", "number", "meaning"), rows))
