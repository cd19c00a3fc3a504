"""``maasloop database ensure | admit | readers``: roles and schemas of the services, and readers with SQL."""

import os
from pathlib import Path
from typing import Annotated

import typer

from maasloop.cli.addresses import ENVIRONMENT_PREFIX, Addresses
from maasloop.cli.printing import Column, Json, print_json, say, show_rows
from maasloop.stack.errors import StackError

app = typer.Typer(help="The database: roles of the services, and readers with SQL.", no_args_is_help=True)

SUPERUSER_DSN = f"{ENVIRONMENT_PREFIX}POSTGRES_DSN"
AUDITOR_DSN = f"{ENVIRONMENT_PREFIX}AUDIT_DSN"
READERS = (Column("reader", "reader"), Column("districts", "districts"))


@app.command()
def ensure(
    wait: Annotated[float, typer.Option(min=0.0, help="How long the server may take to answer, in seconds.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Make database, roles, schemas and audit tables; a second time changes nothing.

    The superuser's connection string is MAASLOOP_CLI__POSTGRES_DSN; roles get the passwords of the services' own
    (MAASLOOP_<SERVICE>__POSTGRES_DSN), and the auditor that of MAASLOOP_CLI__AUDIT_DSN, where there is one.
    """
    from maasloop.audit.schema import AUDITOR
    from maasloop.stack.servers.databases import SERVICES, GivenPasswords, create_service_database, role_name
    from maasloop.stack.servers.waiting import answering, database_dsn
    from maasloop.stack.services import setting_name

    server_dsn = os.environ.get(SUPERUSER_DSN, "")
    service_dsns = {service: os.environ.get(setting_name(service, "postgres_dsn"), "") for service in SERVICES}
    missing = [SUPERUSER_DSN] if not server_dsn else []
    missing += [setting_name(service, "postgres_dsn") for service, dsn in service_dsns.items() if not dsn]
    if missing:
        raise StackError("database", f"no connection string in {', '.join(missing)}", next_step="set it from a Secret")
    answering(server_dsn, wait)
    dsns = {role_name(service): dsn for service, dsn in service_dsns.items()}
    if auditor_dsn := os.environ.get(AUDITOR_DSN):
        dsns[AUDITOR] = auditor_dsn
    create_service_database(server_dsn, database_dsn(server_dsn), passwords=GivenPasswords(dsns))
    if as_json:
        print_json({"roles": [role_name(service) for service in SERVICES]})
    else:
        say(f"{len(SERVICES)} roles with their schemas are there")


@app.command()
def admit(
    context: typer.Context,
    reader: Annotated[str, typer.Argument(help="Name of the role: lower-case letters, digits and underscores.")],
    *,
    district: Annotated[list[str] | None, typer.Option(help="District; may be repeated. None ends it.")] = None,
    passwords: Annotated[
        Path | None, typer.Option(help="Directory for the file with the password; that of this checkout by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let a role read the rows of these districts by SQL, and no others; a new role gets a password, in a file (pgpass).

    The database is that of MAASLOOP_CLI__POSTGRES_DSN, or of the running stack.
    """
    from maasloop.stack.rotation import PASSWORDS
    from maasloop.stack.servers import readers
    from maasloop.stack.servers.passwords import RolePasswords
    from maasloop.stack.state import StateDirectory

    addresses: Addresses = context.obj
    kept = RolePasswords(passwords or StateDirectory(addresses.root).secrets / PASSWORDS)
    dsn = readers.admit(_database(addresses), reader, district or [], kept)
    if as_json:
        print_json({"reader": reader, "districts": district or [], "dsn": dsn})
    else:
        say(f"{reader} reads {', '.join(district or []) or 'nothing'}: {dsn}")


@app.command("readers")
def list_readers(context: typer.Context, as_json: Json = False) -> None:
    """List who reads which districts by SQL; ends with status 1 where anybody has a right on the tables themselves."""
    from maasloop.stack.servers import readers

    found = readers.admitted(_database(context.obj))
    show_rows([{"reader": name, "districts": districts} for name, districts in found.items()], READERS, as_json=as_json)
    left = readers.foreign_rights(_database(context.obj))
    for right in left:
        typer.echo(f"maasloop: {right}, which no reader should have", err=True)
    if left:
        raise typer.Exit(1)


def _database(addresses: Addresses) -> str:
    """Return how the superuser connects to the services' database."""
    from maasloop.stack.servers.waiting import database_dsn

    given = os.environ.get(SUPERUSER_DSN, "")
    return database_dsn(given) if given else addresses.stack().postgres_dsn
