"""``maasloop revoke device | integrator | service``: out at once, also when the service that lets in is dead."""

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from maasloop.cli.addresses import Addresses
from maasloop.cli.calling import CREDENTIALS, ask, request_id, running
from maasloop.cli.names import name_in_district
from maasloop.cli.nouns.integrators import push_account
from maasloop.cli.printing import say
from maasloop.core.errors import NotFound
from maasloop.core.reasons import Reason

if TYPE_CHECKING:
    from maasloop.bus.city import City

app = typer.Typer(help="Take somebody's right to connect, at once.", no_args_is_help=True)

ANSWER_TIMEOUT_S = 6.0
"""A service that does not answer within it is taken for dead: it answers within 5 s."""
SERVICE = "device-registry"


@app.command()
def device(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="DISTRICT/DEVICE, or the whole resource name.")],
    *,
    alone: Annotated[bool, typer.Option(help="Do not ask the service: write and close from here.")] = False,
) -> None:
    """Put a device into quarantine and close its connections; without the service where it does not answer."""
    from maasloop.api.device.v1 import credential_service_pb2 as pb
    from maasloop.core.errors import Unavailable

    resource = name_in_district(name, "devices")
    request = pb.QuarantineDeviceRequest(name=resource, request_id=request_id())
    if not alone:
        try:
            ask(context, CREDENTIALS, "QuarantineDevice", request, timeout_s=ANSWER_TIMEOUT_S)
        except Unavailable:
            alone = True
        else:
            say(f"{resource} is in quarantine")
            return
    command = [sys.executable, "-m", "maasloop.device_registry", "revoke", resource]
    raise typer.Exit(subprocess.run(command, env=os.environ | _environment(context), check=False).returncode)


@app.command()
def integrator(context: typer.Context, name: Annotated[str, typer.Argument(help="Id of the integrator.")]) -> None:
    """Make every credential of an integrator void; its connections are closed by the broker."""
    from maasloop.bus.accounts import integrator_account

    account = integrator_account(name)
    city = _city(context)
    if account not in city.integrators:
        raise NotFound(Reason.RESOURCE_NOT_FOUND, f"no integrator {name} was added here", {"name": name})
    running(push_account(context, city.revoke(account)))
    say(f"{account} lets nobody in who was given a credential until now")


@app.command()
def service(
    context: typer.Context, name: Annotated[str, typer.Argument(help="Name of the service, for example ingest.")]
) -> None:
    """Make the credential of a service void on NATS; it gets in again with a new one, made after its file is removed."""
    from maasloop.bus.accounts import CORE
    from maasloop.identity.nats.credentials import read_credentials
    from maasloop.identity.nats.tokens import read_unverified

    city = _city(context)
    if not city.credentials(name).is_file():
        raise NotFound(Reason.RESOURCE_NOT_FOUND, f"no service {name} has a credential here", {"name": name})
    token, _ = read_credentials(city.credentials(name).read_text())
    running(push_account(context, city.revoke(CORE, read_unverified(token).subject)))
    say(f"{name} is out of NATS; {city.credentials(name)} is void")


def _environment(context: typer.Context) -> dict[str, str]:
    """Return the settings of the dead service that closing a connection needs."""
    from maasloop.stack.services import setting_name
    from maasloop.stack.state import StateDirectory

    addresses: Addresses = context.obj
    stack = addresses.stack()
    identities = StateDirectory(addresses.root).secrets / "nats"
    fields = {
        "nats_url": stack.nats_url,
        "nats_credentials_file": str(identities / "users" / f"{SERVICE}.creds"),
        "nats_ca_file": stack.ca_file,
        "postgres_dsn": stack.service_dsns[SERVICE],
        "callout_directory": str(identities / "callout"),
    }
    return {setting_name(SERVICE, name): value for name, value in fields.items()}


def _city(context: typer.Context) -> "City":
    from maasloop.bus.city import City
    from maasloop.core.clock import SystemClock
    from maasloop.stack.state import StateDirectory

    addresses: Addresses = context.obj
    return City(StateDirectory(addresses.root).secrets / "nats", SystemClock())
