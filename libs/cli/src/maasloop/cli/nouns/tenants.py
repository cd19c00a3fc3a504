"""``maasloop tenants``: who shares this city's services, each with districts and an account of its devices."""

from typing import TYPE_CHECKING, Annotated

import typer

from maasloop.cli.addresses import Addresses
from maasloop.cli.printing import Json, print_json, say

if TYPE_CHECKING:
    from maasloop.bus.city import City

app = typer.Typer(help="Municipalities and firms whose devices share the services.", no_args_is_help=True)


@app.command("set")
def set_(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Id of the tenant; that of the city itself is `city`.")],
    district: Annotated[list[str] | None, typer.Option(help="Id of a district of the tenant; repeatable.")] = None,
) -> None:
    """Declare a tenant with its districts, from the next start of the stack on; first name those of `city`."""
    from maasloop.bus.tenants import Tenant

    city = _city(context)
    declared = {tenant.name: tenant for tenant in city.tenants} | {name: Tenant(name, tuple(district or ()))}
    city.declare(list(declared.values()))
    say(f"{name} has {', '.join(district or ()) or 'every district'} when the stack starts the next time")


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """Show the tenants of this machine with their districts."""
    tenants = _city(context).tenants
    if as_json:
        print_json([{"tenant": tenant.name, "districts": list(tenant.districts)} for tenant in tenants])
        return
    for tenant in tenants:
        say(f"{tenant.name}  {', '.join(tenant.districts) or 'every district'}")


def _city(context: typer.Context) -> "City":
    from maasloop.bus.city import City
    from maasloop.core.clock import SystemClock
    from maasloop.stack.state import StateDirectory

    addresses: Addresses = context.obj
    return City(StateDirectory(addresses.root).secrets / "nats", SystemClock())
