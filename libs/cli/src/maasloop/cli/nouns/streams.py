"""``maasloop streams ensure``: the step that a deployment runs before its services."""

from contextlib import AsyncExitStack
from typing import Annotated

import typer

from maasloop.bus.rights import ENSURE
from maasloop.bus.tenants import CITY, Tenant
from maasloop.cli.addresses import Addresses
from maasloop.cli.calling import bus, running
from maasloop.cli.printing import Json, print_json, say
from maasloop.stack.doors import token_of

app = typer.Typer(help="Streams and durables of the bus.", no_args_is_help=True)


@app.callback()
def _noun() -> None:
    """Keep the verb, though there is only one."""


@app.command()
def ensure(
    context: typer.Context,
    scale: Annotated[float, typer.Option(min=0.001, help="Multiplies the limits of bytes, which fit a laptop.")] = 1.0,
    replicas: Annotated[int, typer.Option(min=1, max=5, help="Copies of each stream in a cluster.")] = 1,
    tenant: Annotated[str, typer.Option(help="Whose durables are declared behind the MQTT listener.")] = CITY,
    as_json: Json = False,
) -> None:
    """Create or update the declared streams and durables; a second time changes nothing."""
    changes = running(_ensure(context, scale, replicas, Tenant(tenant)))
    if as_json:
        print_json(changes)
        return
    for change in changes or ["everything is as declared"]:
        say(change)


async def _ensure(context: typer.Context, scale: float, replicas: int, tenant: Tenant) -> list[str]:
    from maasloop.bus.ensure import MqttDoor
    from maasloop.bus.ensure import ensure as apply

    addresses: Addresses = context.obj
    devices = addresses.nats_user(tenant.ensure_user)
    async with AsyncExitStack() as stack:
        connected = await stack.enter_async_context(bus(context, ENSURE))
        door = None
        if devices.credentials_file is not None:
            behind_door = await stack.enter_async_context(bus(context, tenant.ensure_user))
            token = token_of(devices.credentials_file)
            door = MqttDoor(behind_door, token, devices.authority_file, tenant)
        return await apply(connected, mqtt_url=addresses.mqtt_url(), door=door, scale=scale, replicas=replicas)
