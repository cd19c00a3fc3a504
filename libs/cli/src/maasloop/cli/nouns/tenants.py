"""``maasloop tenants``: who shares this city's services, each with districts and an account of its devices."""

from typing import TYPE_CHECKING, Annotated

import typer

from maasloop.cli.addresses import Addresses
from maasloop.cli.calling import DEVICES, bus, listed, running
from maasloop.cli.printing import Json, print_json, say

if TYPE_CHECKING:
    from maasloop.bus.city import City
    from maasloop.bus.tenants import Tenant

DEVICES_COUNTED_MAX = 100_000
"""Devices of a district that are counted before a removal is refused."""

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


@app.command()
def remove(context: typer.Context, name: Annotated[str, typer.Argument(help="Id of the tenant.")]) -> None:
    """Take a tenant out of a running stack: its account and its streams go, its connections are closed.

    Refused while a device of its districts is not retired, or an uplink of theirs not taken. What was stored stays.
    """
    from maasloop.bus.tenants import CITY
    from maasloop.core.errors import FailedPrecondition, NotFound
    from maasloop.core.reasons import Reason

    city = _city(context)
    tenant = next((each for each in city.tenants if each.name == name), None)
    if tenant is None:
        raise NotFound(Reason.RESOURCE_NOT_FOUND, f"there is no tenant {name}", {"name": name})
    if name == CITY:
        raise FailedPrecondition(Reason.STATE_FORBIDS, f"every city has the tenant {CITY}", {"state": CITY})
    if left := sum(_devices_left(context, district) for district in tenant.districts):
        message = f"{left} devices of {name} are not retired"
        raise FailedPrecondition(Reason.RESOURCE_IN_USE, message, {"referrer": "devices"})
    if city.known(tenant):
        running(_leave(context, city, tenant))
    city.forget(tenant)
    say(f"{name} is gone")


def _devices_left(context: typer.Context, district: str) -> int:
    from maasloop.api.device.v1.device_pb2 import Device
    from maasloop.api.device.v1.device_service_pb2 import ListDevicesRequest

    request = ListDevicesRequest(parent=f"districts/{district}")
    devices = listed(context, DEVICES, "ListDevices", request, "devices", DEVICES_COUNTED_MAX)
    return sum(device.state != Device.STATE_RETIRED for device in devices)


async def _leave(context: typer.Context, city: "City", tenant: "Tenant") -> None:
    from maasloop.bus.removal import delete_account, delete_streams
    from maasloop.bus.rights import ACCOUNTS

    credentials = city.add_remover(tenant)
    try:
        async with bus(context, tenant.remove_user) as inside:
            await delete_streams(inside, tenant)
    finally:
        credentials.unlink()
    async with bus(context, ACCOUNTS) as connected:
        await delete_account(connected, city.removal(tenant))


def _city(context: typer.Context) -> "City":
    from maasloop.bus.city import City
    from maasloop.core.clock import SystemClock
    from maasloop.stack.state import StateDirectory

    addresses: Addresses = context.obj
    return City(StateDirectory(addresses.root).secrets / "nats", SystemClock())
