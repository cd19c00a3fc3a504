"""``maasloop identities``: the users and accounts of NATS and the keys of services for a deployment, as files."""

from pathlib import Path
from typing import Annotated

import typer

from maasloop.cli.printing import say

CONFIGURATION = "nats-identities.conf"
LEAF_CONFIGURATION = "nats-leaf.conf"


def identities(
    directory: Annotated[Path, typer.Argument(help="Where the files go; what is there already is kept.")],
    resolver: Annotated[
        Path, typer.Option(help="Where the server keeps accounts, as its configuration names it.")
    ] = Path("/data/accounts"),
    leaf: Annotated[
        str, typer.Option(help="Address at which a second server joins, nats-leaf://HOST:PORT: its users are made too.")
    ] = "",
) -> None:
    """Make the identities of a city on NATS and its keys; whoever has the directory is its operator: keep it apart."""
    from maasloop.bus.city import City
    from maasloop.core.clock import SystemClock
    from maasloop.identity.command_keys import VERIFICATION_KEYS_FILE
    from maasloop.identity.secret_files import write_secret
    from maasloop.stack.audit_keys import AuditFiles
    from maasloop.stack.secrets import COMMANDS, ensure_secrets
    from maasloop.stack.servers.databases import SERVICES

    city = City(directory, SystemClock())
    city.ensure()
    ensure_secrets(directory / "secrets")
    AuditFiles(directory).ensure(SERVICES)
    write_secret(directory / CONFIGURATION, city.server_configuration(resolver).encode())
    if leaf:
        write_secret(directory / LEAF_CONFIGURATION, city.leaf_configuration(leaf).encode())
    say(f"for the services        {directory / 'users'}, {directory / 'callout'}")
    say(f"                        {directory / 'secrets'}")
    say(f"for devices             {directory / 'secrets' / COMMANDS / VERIFICATION_KEYS_FILE}")
    say(f"for the server          {directory / CONFIGURATION}")
    if leaf:
        say(f"for the second server   {directory / LEAF_CONFIGURATION}")
    say(f"for nobody, keep apart  {directory / 'seeds'}")
