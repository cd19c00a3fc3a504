"""``maasloop status | up | down | reset``: the stack of this checkout."""

import shlex
import shutil
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from maasloop.cli.addresses import Addresses
from maasloop.cli.printing import Column, Json, print_json, say, show_rows
from maasloop.stack.state import ELSEWHERE, StackState, StateDirectory

COLUMNS = (
    Column("service", "service"),
    Column("state", "state"),
    Column("pid", "pid"),
    Column("gRPC", "grpc"),
    Column("HTTP", "http"),
    Column("health", "health"),
)


Shell = Annotated[
    bool,
    typer.Option("--shell", help='Print addresses and files as variables, for `eval "$(maasloop status --shell)"`.'),
]


def status(context: typer.Context, as_json: Json = False, shell: Shell = False) -> None:
    """Show the running stack: its addresses, and whether each service is ready."""
    state = _addresses(context).stack()
    if shell:
        for name, value in _variables(state, StateDirectory(_addresses(context).root)):
            say(f"export {name}={shlex.quote(value)}")
        return
    rows = [_row(state, name) for name in state.services]
    if as_json:
        mqtt = f"{state.mqtt_host}:{state.mqtt_port}"
        print_json({"nats": state.nats_url, "mqtt": mqtt, "ca": state.ca_file, "services": rows})
    else:
        say(f"NATS        {state.nats_url}\nMQTT        {state.mqtt_host}:{state.mqtt_port}")
        say(f"PostgreSQL  {state.postgres_dsn}\nCA          {state.ca_file}\n")
        show_rows(rows, COLUMNS, as_json=False)
    if any(row["state"] != "ready" for row in rows):
        raise typer.Exit(1)


def up(
    context: typer.Context,
    servers_only: Annotated[bool, typer.Option(help="NATS and PostgreSQL only, for services run by hand.")] = False,
) -> None:
    """Start the stack in the background and wait until it is ready."""
    from maasloop.stack import control

    control.start_in_background(_addresses(context).root, say, servers_only=servers_only)
    status(context)


def down(context: typer.Context) -> None:
    """Stop the stack of this checkout."""
    from maasloop.stack import control

    stopped = control.stop_in_background(_addresses(context).root)
    say("stopped" if stopped else "nothing runs")


def reset(context: typer.Context, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Stop the stack and delete all its data."""
    from maasloop.stack import control

    directory = StateDirectory(_addresses(context).root)
    if not yes:
        typer.confirm(f"Delete everything in {directory.path}?", abort=True)
    control.stop_in_background(directory.root)
    database = (directory.path / "postgres").resolve()
    if database.is_relative_to(ELSEWHERE):
        shutil.rmtree(database, ignore_errors=True)
    shutil.rmtree(directory.path, ignore_errors=True)
    say("deleted")


def _addresses(context: typer.Context) -> Addresses:
    found: Addresses = context.obj
    return found


def _variables(state: StackState, directory: StateDirectory) -> Iterator[tuple[str, str]]:
    yield "NATS", state.nats_url
    yield "MQTT", f"mqtt://{state.mqtt_host}:{state.mqtt_port}"
    yield "CA", state.ca_file
    yield "TLS", str(directory.secrets / "tls")
    for name, addresses in state.services.items():
        yield name.upper().replace("-", "_"), addresses.grpc


def _row(state: StackState, name: str) -> dict[str, Any]:
    from maasloop.stack.local import service_ready

    addresses = state.services[name]
    return {
        "service": name,
        "state": "ready" if service_ready(addresses.health) else "not ready",
        "pid": state.pids.get(name),
        "grpc": addresses.grpc,
        "http": addresses.http,
        "health": addresses.health,
    }
