"""``python -m maasloop.stack up|down|status|run``: the stack without the CLI's other commands."""

import argparse
import asyncio
import sys
from pathlib import Path

from maasloop.stack import control
from maasloop.stack.errors import StackError
from maasloop.stack.local import StackOptions, service_ready
from maasloop.stack.servers.databases import SERVICES
from maasloop.stack.state import StackState, StateDirectory, find_root


def main() -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m maasloop.stack", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status", "run"])
    parser.add_argument("--root", type=Path, default=None, help="checkout whose state is meant")
    parser.add_argument("--servers-only", action="store_true", help="NATS and PostgreSQL, for services run by hand")
    parser.add_argument("--quiet", action="store_true", help="say nothing when there is nothing to do")
    arguments = parser.parse_args()
    root = arguments.root or find_root(Path.cwd())
    try:
        return _run(arguments, root)
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except ExceptionGroup as group:
        sys.stderr.write("".join(f"{error}\n" for error in group.exceptions))
        return 1
    except OSError as error:
        sys.stderr.write(f"stack: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace, root: Path) -> int:
    match arguments.command:
        case "up":
            show(control.start_in_background(root, tell, servers_only=arguments.servers_only))
        case "down":
            stopped = control.stop_in_background(root)
            if stopped or not arguments.quiet:
                tell("stopped" if stopped else "nothing runs")
        case "status":
            show(StateDirectory(root).read())
        case _:
            services = () if arguments.servers_only else SERVICES
            options = StackOptions(services=services, progress=tell)
            asyncio.run(control.run_until_signalled(root, options))
    return 0


def show(state: StackState) -> None:
    """Print every address of a running stack."""
    tell(f"NATS        {state.nats_url}")
    tell(f"MQTT        {state.mqtt_host}:{state.mqtt_port}")
    tell(f"PostgreSQL  {state.postgres_dsn}")
    for name, addresses in state.services.items():
        ready = "ready" if service_ready(addresses.health) else "not ready"
        http = f"  http {addresses.http}" if addresses.http else ""
        tell(f"{name:<16} {ready:<10} grpc {addresses.grpc}  health {addresses.health}{http}")
    tell(f"run by process {state.pid}; make down stops it")


def tell(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)  # noqa: T201 - a command prints


if __name__ == "__main__":
    sys.exit(main())
