"""``maasloop rotate …``: new certificates, keys and passwords for the running stack of this checkout."""

import typer

from maasloop.cli.addresses import Addresses
from maasloop.cli.calling import running
from maasloop.cli.printing import say
from maasloop.stack.errors import StackError
from maasloop.stack.state import StateDirectory

app = typer.Typer(help="New certificates, keys and passwords, while services serve.", no_args_is_help=True)


@app.command()
def certificates(context: typer.Context) -> None:
    """Give services, NATS and the operator new certificates; nobody is disconnected."""
    from maasloop.core.clock import SystemClock
    from maasloop.stack.rotation import rotate_certificates

    _told(rotate_certificates(_directory(context), SystemClock()))


@app.command("nats-users")
def nats_users(context: typer.Context) -> None:
    """Give the services' users of NATS new keys and make the old ones void; each connects again at once."""
    from maasloop.core.clock import SystemClock
    from maasloop.stack.rotation import rotate_nats_users

    _told(running(rotate_nats_users(_directory(context), SystemClock())))


@app.command()
def passwords(context: typer.Context) -> None:
    """Give the services' roles of the database, and the auditor's, new passwords; connections that stand go on."""
    from maasloop.stack.rotation import rotate_passwords

    _told(rotate_passwords(_directory(context)))


@app.command("command-key")
def command_key(context: typer.Context) -> None:
    """Make another key that signs commands: give devices the set of keys, then start actuation again."""
    from maasloop.stack.rotation import rotate_command_key

    _told(rotate_command_key(_directory(context)))


def _directory(context: typer.Context) -> StateDirectory:
    addresses: Addresses = context.obj
    directory = StateDirectory(addresses.root)
    if not directory.secrets.is_dir():
        raise StackError("rotate", f"{directory.secrets} is not there: no stack was started here", next_step="make up")
    return directory


def _told(names: list[str]) -> None:
    for name in names:
        say(f"{name} has a new one")
