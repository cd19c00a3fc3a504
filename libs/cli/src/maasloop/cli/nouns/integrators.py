"""``maasloop integrators``: accounts of programs of others, which hear what is open."""

import json
from typing import Annotated

import typer

from maasloop.bus.rights import ACCOUNTS
from maasloop.cli.addresses import Addresses
from maasloop.cli.calling import bus, running
from maasloop.cli.printing import Json, print_json, say

ANSWER_TIMEOUT_S = 10.0

app = typer.Typer(help="Programs of others that subscribe to open facts.", no_args_is_help=True)


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Id of the integrator.")],
    as_json: Json = False,
) -> None:
    """Give an integrator an account of its own; prints where its credentials are. A second time changes nothing."""
    from maasloop.bus.accounts import integrator_account
    from maasloop.bus.city import City
    from maasloop.core.clock import SystemClock
    from maasloop.stack.state import StateDirectory

    addresses: Addresses = context.obj
    state = addresses.stack()
    city = City(StateDirectory(addresses.root).secrets / "nats", SystemClock())
    credentials = city.add_integrator(name)
    running(push_account(context, city.token(integrator_account(name))))
    if as_json:
        print_json({"nats": state.nats_url, "credentials": str(credentials), "ca": state.ca_file})
        return
    say(f"NATS         {state.nats_url}\ncredentials  {credentials}\nCA           {state.ca_file}")


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """Show the integrators of this machine."""
    from maasloop.bus.city import City
    from maasloop.core.clock import SystemClock
    from maasloop.stack.state import StateDirectory

    addresses: Addresses = context.obj
    city = City(StateDirectory(addresses.root).secrets / "nats", SystemClock())
    names = [account.removeprefix("INTEGRATOR-") for account in city.integrators]
    if as_json:
        print_json(names)
        return
    for name in names:
        say(name)


async def push_account(context: typer.Context, token: str) -> None:
    """Tell the server of an account."""
    from maasloop.core.errors import FailedPrecondition

    async with bus(context, ACCOUNTS) as connected:
        answer = await connected.ask("$SYS.REQ.CLAIMS.UPDATE", token.encode(), timeout_s=ANSWER_TIMEOUT_S)
    if "error" in (told := json.loads(answer)):
        message = f"NATS did not take the account: {told['error'].get('description')}"
        raise FailedPrecondition("STATE_FORBIDS", message)
