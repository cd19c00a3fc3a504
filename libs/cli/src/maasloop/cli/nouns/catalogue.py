"""``maasloop catalogue apply``: districts, observed properties, device types and groups from one file."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from maasloop.cli.calling import CALL_TIMEOUT_S, DEVICES, opened, request_id, running
from maasloop.cli.printing import Column, Json, show_rows

app = typer.Typer(help="What devices may be: districts, observed properties, types and groups.", no_args_is_help=True)

COLUMNS = (Column("resource", "name"), Column("outcome", "outcome"))
ORDER = ("observedProperties", "districts", "deviceTypes", "deviceGroups")
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
            help=f"JSON object with the lists {', '.join(ORDER)} of resources in protobuf JSON, each with its name.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Create what the file names; what exists stays as it is."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise typer.BadParameter(f"{file} is not JSON: {error}") from None
    if not isinstance(found, dict) or not set(found) <= set(ORDER):
        message = f"{file} must be a JSON object with some of {', '.join(ORDER)}"
        raise typer.BadParameter(message)
    rows = running(_apply(context, found))
    show_rows(rows, COLUMNS, as_json=as_json)


async def _apply(context: typer.Context, found: dict[str, list[dict[str, Any]]]) -> list[dict[str, str]]:
    from maasloop.core.errors import AlreadyExists
    from maasloop.rpc import client

    rows = []
    async with opened(context, DEVICES) as stub:
        for kind in ORDER:
            for resource in found.get(kind, []):
                method, request = _request(kind, resource)
                try:
                    await client.call(getattr(stub, method), request, timeout_s=CALL_TIMEOUT_S)
                except AlreadyExists:
                    outcome = "exists"
                else:
                    outcome = "created"
                rows.append({"name": resource["name"], "outcome": outcome})
    return rows


def _request(kind: str, resource: dict[str, Any]) -> tuple[str, Any]:
    """Return the method that creates a resource, and its request."""
    from google.protobuf import json_format

    from maasloop.api.device.v1 import device_service_pb2 as requests

    parent, _, last = str(resource.get("name", "")).rpartition("/")
    methods: dict[str, tuple[str, Any, str]] = {
        "observedProperties": (
            "CreateObservedProperty",
            requests.CreateObservedPropertyRequest(observed_property_id=last),
            "observed_property",
        ),
        "districts": ("CreateDistrict", requests.CreateDistrictRequest(district_id=last), "district"),
        "deviceTypes": ("CreateDeviceType", requests.CreateDeviceTypeRequest(device_type_id=last), "device_type"),
        "deviceGroups": (
            "CreateDeviceGroup",
            requests.CreateDeviceGroupRequest(device_group_id=last, parent=parent.removesuffix("/deviceGroups")),
            "device_group",
        ),
    }
    method, request, field = methods[kind]
    request.request_id = request_id()
    try:
        json_format.ParseDict(resource, getattr(request, field))
    except json_format.ParseError as error:
        raise typer.BadParameter(f"{resource.get('name')}: {error}") from None
    return method, request
