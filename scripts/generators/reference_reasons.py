"""Writes ``error-reasons.md``: what each refusal means."""

from generators.descriptors import File
from generators.pages import code, page, table
from generators.reasons import reasons

_INTRODUCTION = """
A refusal carries one of these names: in `google.rpc.ErrorInfo.reason` (domain `maasloop`) of a failed call, in refusals
and receipts of readings, in quarantine entries, in terminal commands, in dead letters, and as the label of counters.
Names never change their meaning; the number is for compact storage.

| refused | counted in ([metrics](metrics.md)) | where to look |
| --- | --- | --- |
| a call | `maasloop_rpc_refusals_total` | the answer; the audit log, where permission was missing (`maasloop audit who-touched`) |
| an HTTP request | `maasloop_http_refusals_total`, `maasloop_ingest_refused_requests_total` | the answer, a problem (RFC 9457) |
| a reading | `maasloop_ingest_readings_total` | refusals of the answer, `down/receipts` of the device, `maasloop quarantine list` |
| a device that connects | `maasloop_device_registry_connects_total` | `maasloop credentials refusals` |
| a command | `maasloop_actuation_commands_total` | `maasloop commands list`, its `detail`; for signals `maasloop signals explain` |
| a message that a consumer gave up | `maasloop_timeseries_dead_letters_total` | stream DEADLETTERS, in the headers |
"""


def error_reasons_page(files: list[File]) -> str:
    """Return the page."""
    rows = ((code(reason.name), str(reason.number), reason.comment) for reason in reasons(files))
    source = "`proto/maasloop/api/common/v1/error_reason.proto`"
    return page("Error reasons", source, _INTRODUCTION, table(("reason", "number", "meaning"), rows))
