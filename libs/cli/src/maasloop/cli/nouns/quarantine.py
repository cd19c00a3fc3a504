"""``maasloop quarantine list | replay``."""

from typing import Annotated, Any

import typer

from maasloop.cli.calling import INGEST, ask, listed, request_id
from maasloop.cli.names import district_name, name_of
from maasloop.cli.printing import Column, Json, Limit, say, show, show_one

app = typer.Typer(help="Readings that were refused, with their original bytes.", no_args_is_help=True)

COLUMNS = (
    Column("entry", "name", "quarantineEntries/"),
    Column("received", "receiptTime"),
    Column("door", "door"),
    Column("district", "district"),
    Column("device", "device"),
    Column("reason", "reason"),
    Column("readings", "readingCount"),
    Column("detail", "detail"),
    Column("replayed", "replayTime"),
)
REPLAYED_MAX = 1_000


@app.command("list")
def list_quarantine(
    context: typer.Context,
    district: Annotated[str, typer.Option(help="Only of this district.")] = "",
    device: Annotated[str, typer.Option(help="Only of this device.")] = "",
    reason: Annotated[str, typer.Option(help="Only with this reason, for example VALUE_OUT_OF_RANGE.")] = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List refused payloads, newest first."""
    found = listed(context, INGEST, "ListQuarantine", _request(district, device, reason), "entries", limit)
    show(found, COLUMNS, as_json=as_json)


@app.command()
def replay(
    context: typer.Context,
    entry: Annotated[list[str] | None, typer.Argument(help="Entries; or choose them by the options.")] = None,
    district: Annotated[str, typer.Option(help="All of this district.")] = "",
    device: Annotated[str, typer.Option(help="All of this device.")] = "",
    reason: Annotated[str, typer.Option(help="All with this reason.")] = "",
    as_json: Json = False,
) -> None:
    """Send refused payloads through the pipeline again, at most 1,000."""
    from maasloop.api.observation.v1.ingest_service_pb2 import ReplayQuarantineRequest

    names = [name_of(name, "quarantineEntries") for name in entry or []]
    if not names and not (district or device or reason):
        message = "name the entries, or choose them by --district, --device or --reason"
        raise typer.BadParameter(message)
    if not names:
        request = _request(district, device, reason)
        names = [found.name for found in listed(context, INGEST, "ListQuarantine", request, "entries", REPLAYED_MAX)]
    if not names:
        say("nothing to replay")
        return
    replayed = ReplayQuarantineRequest(names=names, request_id=request_id())
    show_one(ask(context, INGEST, "ReplayQuarantine", replayed), as_json=as_json)


def _request(district: str, device: str, reason: str) -> Any:
    from maasloop.api.observation.v1.ingest_service_pb2 import ListQuarantineRequest

    return ListQuarantineRequest(parent=district_name(district) if district else "", device=device, reason=reason)
