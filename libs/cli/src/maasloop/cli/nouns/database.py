"""``maasloop database ensure``: the roles and schemas of the services in a database that is the release's own."""

import os
from typing import Annotated

import typer

from maasloop.cli.addresses import ENVIRONMENT_PREFIX
from maasloop.cli.printing import Json, print_json, say
from maasloop.stack.errors import StackError

app = typer.Typer(help="The database of a deployment.", no_args_is_help=True)

SUPERUSER_DSN = f"{ENVIRONMENT_PREFIX}POSTGRES_DSN"


@app.callback()
def _noun() -> None:
    """Keep the verb, though there is only one."""


@app.command()
def ensure(
    wait: Annotated[float, typer.Option(min=0.0, help="How long the server may take to answer, in seconds.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Make database, roles, schemas and audit tables; a second time changes nothing.

    The superuser's connection string is MAASLOOP_CLI__POSTGRES_DSN; roles get the passwords of the services' own
    (MAASLOOP_<SERVICE>__POSTGRES_DSN).
    """
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
    passwords = GivenPasswords({role_name(service): dsn for service, dsn in service_dsns.items()})
    create_service_database(server_dsn, database_dsn(server_dsn), passwords=passwords)
    if as_json:
        print_json({"roles": [role_name(service) for service in SERVICES]})
    else:
        say(f"{len(SERVICES)} roles with their schemas are there")
