"""``maasloop devices list | get | import | quarantine | release``."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from maasloop.cli.calling import CREDENTIALS, DEVICES, ask, listed, opened, request_id, running
from maasloop.cli.names import district_name, enum_value, name_in_district, name_of
from maasloop.cli.printing import Column, Json, Limit, print_json, say, show, show_one

app = typer.Typer(help="Devices of the registry.", no_args_is_help=True)

COLUMNS = (
    Column("device", "name"),
    Column("type", "deviceType", "deviceTypes/"),
    Column("state", "state", "STATE_"),
    Column("groups", "groups"),
    Column("gateway", "gateway"),
    Column("longitude", "location.longitude"),
    Column("latitude", "location.latitude"),
    Column("name", "displayName"),
)
CHUNK_BYTES = 1_000_000
IMPORT_TIMEOUT_S = 300.0
SUFFIXES = {".jsonl": "json-lines", ".ndjson": "json-lines", ".csv": "csv"}
BOX_EDGES = 4


@app.command("list")
def list_devices(
    context: typer.Context,
    district: Annotated[str, typer.Argument(help="District, or - for all.")] = "-",
    *,
    device_type: Annotated[str, typer.Option("--type", help="Only devices of this type.")] = "",
    state: Annotated[
        Literal["registered", "active", "quarantined", "retired"] | None, typer.Option(help="Only in this state.")
    ] = None,
    group: Annotated[str, typer.Option(help="Only devices of this group.")] = "",
    box: Annotated[str, typer.Option(metavar="W,S,E,N", help="Only devices that stand in this box, in degrees.")] = "",
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List devices, ordered by name."""
    from maasloop.api.device.v1 import device_pb2, device_service_pb2

    request = device_service_pb2.ListDevicesRequest(
        parent=district_name(district),
        device_type=name_of(device_type, "deviceTypes") if device_type else "",
        state=enum_value(device_pb2.Device.State, "STATE", state),
        group=group,
    )
    if box:
        west, south, east, north = _edges(box)
        request.bounds.southwest.longitude, request.bounds.southwest.latitude = west, south
        request.bounds.northeast.longitude, request.bounds.northeast.latitude = east, north
    show(listed(context, DEVICES, "ListDevices", request, "devices", limit), COLUMNS, as_json=as_json)


@app.command("get")
def get_device(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="DISTRICT/DEVICE, or the whole resource name.")],
    as_json: Json = False,
) -> None:
    """Show one device."""
    from maasloop.api.device.v1 import device_service_pb2

    request = device_service_pb2.GetDeviceRequest(name=name_in_district(name, "devices"))
    show_one(ask(context, DEVICES, "GetDevice", request), as_json=as_json)


@app.command("quarantine")
def quarantine_device(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="DISTRICT/DEVICE, or the whole resource name.")],
) -> None:
    """Take trust from a device: its connections are closed, its readings are refused."""
    from maasloop.api.device.v1 import credential_service_pb2

    resource = name_in_district(name, "devices")
    request = credential_service_pb2.QuarantineDeviceRequest(name=resource, request_id=request_id())
    ask(context, CREDENTIALS, "QuarantineDevice", request)
    say(f"{resource} is in quarantine")


@app.command("release")
def release_device(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="DISTRICT/DEVICE, or the whole resource name.")],
) -> None:
    """Trust a device in quarantine again."""
    from maasloop.api.device.v1 import credential_service_pb2

    resource = name_in_district(name, "devices")
    request = credential_service_pb2.ReleaseDeviceRequest(name=resource, request_id=request_id())
    ask(context, CREDENTIALS, "ReleaseDevice", request)
    say(f"{resource} is in service")


@app.command("import")
def import_devices(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON Lines (.jsonl) or CSV (.csv).")],
    district: Annotated[str, typer.Option(help="District of all devices in the file.")],
    kind: Annotated[
        Literal["json-lines", "csv"] | None, typer.Option("--format", help="Coding; by the file's name if not given.")
    ] = None,
    activate: Annotated[bool, typer.Option(help="Bring them into service at once.")] = False,
    as_json: Json = False,
) -> None:
    """Import a file of devices: all or nothing, at most 100,000."""
    coding = kind or SUFFIXES.get(file.suffix.lower())
    if coding is None:
        message = f"{file.name} does not tell its coding: give --format json-lines or csv"
        raise typer.BadParameter(message)
    answer = running(_import(context, file, district_name(district), coding, activate=activate))
    if as_json:
        print_json(answer)
    else:
        say(
            f"{answer['createdCount']} devices created, {answer['unchangedCount']} were there already"
            f" (revision {answer['revision']})"
        )


async def _import(context: typer.Context, file: Path, parent: str, coding: str, *, activate: bool) -> dict[str, object]:
    from maasloop.api.device.v1 import device_service_pb2 as pb
    from maasloop.cli.printing import plain
    from maasloop.rpc.statuses import translated

    formats = pb.ImportDevicesRequest.Format
    first = pb.ImportDevicesRequest(
        parent=parent,
        format=formats.FORMAT_CSV if coding == "csv" else formats.FORMAT_JSON_LINES,
        activate=activate,
        request_id=request_id(),
    )

    async def chunks() -> AsyncIterator[pb.ImportDevicesRequest]:
        request = first
        with file.open("rb") as source:
            while True:
                content = source.read(CHUNK_BYTES)
                if not content and request is not first:
                    return
                request.content = content
                yield request
                request = pb.ImportDevicesRequest()

    async with opened(context, DEVICES) as stub:
        with translated():
            return plain(await stub.ImportDevices(chunks(), timeout=IMPORT_TIMEOUT_S))


def _edges(box: str) -> list[float]:
    try:
        edges = [float(edge) for edge in box.split(",")]
    except ValueError:
        edges = []
    if len(edges) != BOX_EDGES:
        message = f"a box is west,south,east,north in degrees, for example 4.4,51.8,4.6,52.0; got {box}"
        raise typer.BadParameter(message)
    return edges
