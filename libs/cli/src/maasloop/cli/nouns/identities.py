"""``maasloop identities``: the users and accounts of NATS for a deployment, as files."""

from pathlib import Path
from typing import Annotated

import typer

from maasloop.cli.printing import say

CONFIGURATION = "nats-identities.conf"


def identities(
    directory: Annotated[Path, typer.Argument(help="Where the files go; what is there already is kept.")],
    resolver: Annotated[
        Path, typer.Option(help="Where the server keeps accounts, as its configuration names it.")
    ] = Path("/data/accounts"),
) -> None:
    """Make the identities of a city on NATS; whoever has the directory is its operator, so keep it apart."""
    from maasloop.bus.city import City
    from maasloop.core.clock import SystemClock
    from maasloop.identity.secret_files import write_secret

    city = City(directory, SystemClock())
    city.ensure()
    write_secret(directory / CONFIGURATION, city.server_configuration(resolver).encode())
    say(f"for the services        {directory / 'users'}, {directory / 'callout'}")
    say(f"for the server          {directory / CONFIGURATION}")
    say(f"for nobody, keep apart  {directory / 'seeds'}")
