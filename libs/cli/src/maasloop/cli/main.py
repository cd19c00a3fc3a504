"""The command ``maasloop``: its nouns, its plug-ins, and how failures are told."""

import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from maasloop.core.errors import MaasloopError, PermissionDenied, Retryable, Unauthenticated
from maasloop.stack.errors import StackError
from maasloop.stack.state import find_root

from .addresses import Addresses, named_root, service_addresses
from .nouns import (
    access,
    account,
    alerts,
    approvals,
    audit,
    backups,
    catalogue,
    cluster_secrets,
    commands,
    consent,
    database,
    deliveries,
    devices,
    doctor,
    enrolment,
    export,
    history,
    identities,
    integrators,
    login,
    observations,
    overrides,
    policies,
    preflight,
    quarantine,
    revoking,
    rotate,
    rsmp_supervisor,
    selftest,
    signals,
    size,
    stack,
    streams,
    subjects,
    subscriptions,
    tenants,
    trace_reading,
    watch,
)
from .signed_in import NEXT_STEPS

type Command = Callable[..., None]

PLUGINS = "maasloop.cli"
REFUSED = 1
NO_ANSWER = 3

NOUNS = {
    "catalogue": catalogue.app,
    "devices": devices.app,
    "claims": enrolment.claims_app,
    "credentials": enrolment.credentials_app,
    "revoke": revoking.app,
    "rotate": rotate.app,
    "observations": observations.app,
    "commands": commands.app,
    "approvals": approvals.app,
    "signals": signals.app,
    "overrides": overrides.app,
    "policies": policies.app,
    "alerts": alerts.app,
    "subscriptions": subscriptions.app,
    "deliveries": deliveries.app,
    "consent": consent.app,
    "audit": audit.app,
    "quarantine": quarantine.app,
    "streams": streams.app,
    "database": database.app,
    "integrators": integrators.app,
    "tenants": tenants.app,
    "access": access.app,
}


def build() -> typer.Typer:
    """Put the command together."""
    app = typer.Typer(
        name="maasloop",
        help="The nervous system of a city, from a terminal.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    commands_first: tuple[Command, ...] = (stack.status, stack.up, stack.down, stack.reset, doctor.doctor)
    for command in commands_first:
        app.command()(command)
    for name, noun in NOUNS.items():
        app.add_typer(noun, name=name)
    commands_last: tuple[Command, ...] = (
        enrolment.enrol,
        overrides.release,
        export.export,
        identities.identities,
        size.size,
        backups.backup,
        backups.restore,
        cluster_secrets.cluster_secrets,
        preflight.preflight,
        selftest.selftest,
        history.import_observations,
        account.account,
        trace_reading.trace_reading,
        subjects.subjects,
        watch.watch,
        login.login,
        login.logout,
        rsmp_supervisor.rsmp_supervisor,
    )
    for command in commands_last:
        app.command()(command)
    for plugin in sorted(entry_points(group=PLUGINS), key=lambda point: point.name):
        plugin.load()(app)
    return app


def _options(
    context: typer.Context,
    root: Annotated[
        Path | None,
        typer.Option(
            help="Checkout whose running stack is meant; MAASLOOP_CLI__ROOT or the one around here by default."
        ),
    ] = None,
    address: Annotated[
        list[str] | None,
        typer.Option(help="SERVICE=HOST:PORT, instead of the stack's; also MAASLOOP_CLI__<SERVICE>_ADDRESS."),
    ] = None,
    nats: Annotated[str, typer.Option(help="Address of NATS; also MAASLOOP_CLI__NATS_URL.")] = "",
    mqtt: Annotated[str, typer.Option(help="Address of the MQTT door; also MAASLOOP_CLI__MQTT_URL.")] = "",
    signed_in: Annotated[
        bool,
        typer.Option("--signed-in", help="Call as who signed in (maasloop login), although a certificate lies here."),
    ] = False,
) -> None:
    """Talk to the running stack of this checkout, or to the addresses given."""
    try:
        services = service_addresses(address or [])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    context.obj = Addresses(root or named_root() or find_root(Path.cwd()), nats, mqtt, services, signed_in)


def run() -> None:
    """Run the command line and end the process; a failure is one sentence with its reason."""
    try:
        sys.exit(build()(prog_name="maasloop", standalone_mode=False))
    except TyperException as error:
        _tell_misuse(error)
        sys.exit(error.exit_code)
    except typer.Abort:
        _tell("aborted")
        sys.exit(REFUSED)
    except MaasloopError as error:
        _tell(f"{error.reason}: {error.message}")
        _tell_next_step(error)
        sys.exit(NO_ANSWER if isinstance(error, Retryable) else REFUSED)
    except StackError as error:
        _tell(str(error))
        sys.exit(NO_ANSWER)
    except OSError as error:
        _tell(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
        sys.exit(REFUSED)
    except Exception as error:
        fault = _fault_of_a_service(error) or _fault_of_the_database(error)
        if fault is None:
            raise
        _tell(fault)
        sys.exit(REFUSED)


def _fault_of_a_service(error: Exception) -> str | None:
    """Return the sentence for a call that failed inside the service, which carries a trace id and no detail."""
    import grpc

    if not isinstance(error, grpc.aio.AioRpcError):
        return None
    return f"{error.code().name}: {error.details()}"


def _fault_of_the_database(error: Exception) -> str | None:
    """Return the sentence for what PostgreSQL, or its client, refused: a wrong connection string, a table that is not there."""
    psycopg = sys.modules.get("psycopg")
    if psycopg is None or not isinstance(error, psycopg.Error):
        return None
    return f"database: {' '.join(str(error).split())}"


def _tell_misuse(error: TyperException) -> None:
    """Say what is wrong with the call; a noun without a verb has printed its help already."""
    said = " ".join(error.format_message().split()).removesuffix(".")
    if said:
        context = getattr(error, "ctx", None)
        _tell(f"{said}; see {context.command_path} --help" if context else said)


def _tell_next_step(error: MaasloopError) -> None:
    """Say what a caller who was not let in can do, unless the refusal says it."""
    step = NEXT_STEPS.get(error.reason, "") if isinstance(error, Unauthenticated | PermissionDenied) else ""
    if step and "maasloop login" not in error.message:
        _tell(step)


def _tell(text: str) -> None:
    sys.stderr.write(f"maasloop: {text}\n")
