"""``maasloop preflight``: the step of a deployment before all others."""

import os
from pathlib import Path
from typing import Annotated

import typer

from maasloop.bus.rights import ENSURE
from maasloop.cli.addresses import Addresses
from maasloop.cli.calling import running
from maasloop.cli.printing import Json, print_json, say


def preflight(
    context: typer.Context,
    *,
    certificates: Annotated[
        Path | None,
        typer.Option(envvar="MAASLOOP_CLI__PREFLIGHT_DIRECTORY", help="A folder a service with tls.crt and ca.crt."),
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, max=5, help="Copies of each stream that are wanted.")] = 1,
    as_json: Json = False,
) -> None:
    """Say what NATS, PostgreSQL and the Secrets lack, a sentence each; ends with 1 if anything does. Changes nothing.

    Looks at the services whose MAASLOOP_<SERVICE>__POSTGRES_DSN is set, or that have a folder of certificates.
    """
    meant = {path.name for path in certificates.iterdir()} if certificates else set()
    findings = running(_looked(context, certificates, meant, replicas))
    if as_json:
        print_json(findings)
    else:
        for finding in findings or ["everything that the release needs is there"]:
            say(finding)
    if findings:
        raise typer.Exit(1)


async def _looked(context: typer.Context, certificates: Path | None, meant: set[str], replicas: int) -> list[str]:
    from maasloop.core.clock import SystemClock
    from maasloop.stack import preflight as look
    from maasloop.stack.servers.databases import SERVICES
    from maasloop.stack.services import setting_name

    addresses: Addresses = context.obj
    findings = list(look.certificate_findings(certificates, SystemClock().now())) if certificates else []
    dsns = {each: os.environ.get(setting_name(each, "postgres_dsn"), "") for each in SERVICES}
    findings += look.database_findings({each: dsn for each, dsn in dsns.items() if dsn or each in meant})
    user = addresses.nats_user(ENSURE)
    findings += [each async for each in look.nats_findings(user, addresses.mqtt_url(), replicas)]
    return findings
