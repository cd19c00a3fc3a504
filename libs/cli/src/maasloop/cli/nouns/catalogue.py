"""``maasloop catalogue apply``: what devices may be, and why personal data may be processed, from one file."""

import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from maasloop.cli.calling import CALL_TIMEOUT_S, CONSENT, DEVICES, Door, opened, request_id, running
from maasloop.cli.printing import Column, Json, show_rows

app = typer.Typer(
    help="Districts, observed properties, device types, groups and processing activities.", no_args_is_help=True
)

COLUMNS = (Column("resource", "name"), Column("outcome", "outcome"))


@dataclass(frozen=True, slots=True)
class Kind:
    """How resources of a list are created."""

    door: Door
    method: str
    field: str
    """Field of the request that holds the resource; the one with its id has the suffix ``_id``."""


KINDS = {
    "observedProperties": Kind(DEVICES, "CreateObservedProperty", "observed_property"),
    "districts": Kind(DEVICES, "CreateDistrict", "district"),
    "deviceTypes": Kind(DEVICES, "CreateDeviceType", "device_type"),
    "deviceGroups": Kind(DEVICES, "CreateDeviceGroup", "device_group"),
    "processingActivities": Kind(CONSENT, "CreateProcessingActivity", "processing_activity"),
}
"""Keys of the file, in an order in which nothing refers to what is not there yet."""


@app.callback()
def _noun() -> None:
    """Keep the verb, though there is only one."""


@app.command("apply")
def apply_catalogue(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help=f"JSON object with the lists {', '.join(KINDS)} of resources in protobuf JSON, each with its name.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Create what the file names; what exists stays as it is."""
    requests = [(kind, _request(kind, resource)) for kind, resource in _read(file)]
    show_rows(running(_apply(context, requests)), COLUMNS, as_json=as_json)


def _read(file: Path) -> list[tuple[Kind, dict[str, Any]]]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise typer.BadParameter(f"{file} is not JSON: {error}") from None
    if not isinstance(found, dict) or not set(found) <= set(KINDS) or not all(map(_resources, found.values())):
        message = f"{file} must be a JSON object with lists of resources, some of {', '.join(KINDS)}"
        raise typer.BadParameter(message)
    return [(kind, resource) for key, kind in KINDS.items() for resource in found.get(key, [])]


def _resources(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(resource, dict) for resource in value)


async def _apply(context: typer.Context, requests: list[tuple[Kind, Any]]) -> list[dict[str, str]]:
    from maasloop.core.errors import AlreadyExists
    from maasloop.rpc import client

    rows = []
    async with AsyncExitStack() as stack:
        stubs = {door: await stack.enter_async_context(opened(context, door)) for door in {k.door for k, _ in requests}}
        for kind, request in requests:
            try:
                await client.call(getattr(stubs[kind.door], kind.method), request, timeout_s=CALL_TIMEOUT_S)
                outcome = "created"
            except AlreadyExists:
                outcome = "exists"
            rows.append({"name": getattr(request, kind.field).name, "outcome": outcome})
    return rows


def _request(kind: Kind, resource: dict[str, Any]) -> Any:
    from google.protobuf import json_format

    from maasloop.api.consent.v1 import consent_service_pb2
    from maasloop.api.device.v1 import device_service_pb2

    parent, _, last = str(resource.get("name", "")).rpartition("/")
    requests = device_service_pb2 if kind.door is DEVICES else consent_service_pb2
    request = getattr(requests, f"{kind.method}Request")(request_id=request_id(), **{f"{kind.field}_id": last})
    if parent.startswith("districts/"):
        request.parent = parent.rpartition("/")[0]
    try:
        json_format.ParseDict(resource, getattr(request, kind.field))
    except json_format.ParseError as error:
        raise typer.BadParameter(f"{resource.get('name')}: {error}") from None
    return request
