"""``maasloop audit keys`` and ``schema``: what a deployment needs before its services can keep audit logs."""

from pathlib import Path
from typing import Annotated

import typer

from maasloop.cli.printing import Json, print_json, say
from maasloop.stack.audit_keys import AuditFiles


def keys(
    directory: Annotated[Path, typer.Argument(help="Where the files go; what is there already is kept.")],
    as_json: Json = False,
) -> None:
    """Make the keys that sign the logs, the city's key of pseudonyms, and the public keys."""
    from maasloop.stack.servers.databases import SERVICES

    files = AuditFiles(directory)
    files.ensure(SERVICES)
    if as_json:
        print_json({"secrets": str(files.secrets), "public": str(files.keys)})
        return
    say(f"for the services, each its own and pseudonyms.key  {files.secrets}")
    say(f"for anybody who checks a log                       {files.keys}")


def schema(as_json: Json = False) -> None:
    """Print the statements with which the administrator of the database makes the logs; again, they change nothing."""
    from maasloop.audit.schema import auditor_sql, log_sql, schema_sql
    from maasloop.stack.servers.databases import SERVICES, role_name

    statements = [schema_sql(), auditor_sql(), *(log_sql(service, role_name(service)) for service in SERVICES)]
    if as_json:
        print_json(statements)
        return
    for statement in statements:
        say(statement)
