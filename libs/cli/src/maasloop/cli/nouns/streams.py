"""``maasloop streams ensure``: the step that a deployment runs before its services."""

from typing import Annotated

import typer

from maasloop.cli.addresses import Addresses
from maasloop.cli.calling import bus, running
from maasloop.cli.printing import Json, print_json, say

app = typer.Typer(help="Streams and durables of the bus.", no_args_is_help=True)


@app.callback()
def _noun() -> None:
    """Keep the verb, though there is only one."""


@app.command()
def ensure(
    context: typer.Context,
    scale: Annotated[float, typer.Option(min=0.001, help="Multiplies the limits of bytes, which fit a laptop.")] = 1.0,
    replicas: Annotated[int, typer.Option(min=1, max=5, help="Copies of each stream in a cluster.")] = 1,
    as_json: Json = False,
) -> None:
    """Create or update the declared streams and durables; a second time changes nothing."""
    changes = running(_ensure(context, scale, replicas))
    if as_json:
        print_json(changes)
        return
    for change in changes or ["everything is as declared"]:
        say(change)


async def _ensure(context: typer.Context, scale: float, replicas: int) -> list[str]:
    from maasloop.bus.ensure import ensure as apply

    addresses: Addresses = context.obj
    async with bus(context) as connected:
        return await apply(connected, mqtt_url=addresses.mqtt_url(), scale=scale, replicas=replicas)
