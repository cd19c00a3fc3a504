"""``maasloop demo``: a city for a minute."""

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer
from rich.console import Console

from maasloop.core.errors import MaasloopError
from maasloop.stack.errors import StackError
from maasloop.stack.state import StateDirectory, find_root

if TYPE_CHECKING:
    from maasloop.twin.demo.stage import Demo, Ended

LOG = "demo.log"
INTERRUPTED = 130


def add_to(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command()(demo)


def demo(
    duration: Annotated[int, typer.Option(help="Street seconds.", min=20, max=86_400)] = 600,
    speed: Annotated[float, typer.Option(help="Street seconds a wall second, at most.", min=0.1, max=1_000)] = 10.0,
    seed: Annotated[int, typer.Option(help="Of traffic, faults and people.", min=0)] = 7,
    scenario: Annotated[str, typer.Option(help="Road network: a name, or a path to a .sumocfg.")] = "cologne8",
    decision_deadline: Annotated[
        float, typer.Option(help="Wall seconds that the street waits for a decision.", min=0.1, max=60)
    ] = 2.0,
    root: Annotated[Path | None, typer.Option(help="Checkout whose .maasloop holds the state.")] = None,
) -> None:
    """Play a city on the whole stack, show it, and account for every reading in the end."""
    # The terminal is for the picture: gRPC's own core writes there otherwise.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from maasloop.twin.demo.stage import Demo, DemoOptions
    from maasloop.twin.doors.mqtt import NotAcknowledged
    from maasloop.twin.play.run import DecisionsMissing

    where = (root or find_root(Path.cwd())).resolve()
    console, complaints = Console(), Console(stderr=True)
    options = DemoOptions(duration, speed, seed, scenario, decision_deadline)
    try:
        # Before anything is written: log and keys here are those of what runs.
        StateDirectory(where).require_free()
        _log_to(where / ".maasloop" / "log")
        ended = asyncio.run(_until_signalled(Demo(where, options, console)))
    except (StackError, LookupError) as error:
        complaints.print(str(error), style="red", highlight=False)
        raise typer.Exit(1) from None
    except (DecisionsMissing, NotAcknowledged, MaasloopError) as error:
        complaints.print(f"the demo cannot go on: {error}", style="red", highlight=False)
        complaints.print(
            f"  log files: {where / '.maasloop' / 'log'}\n  next: make demo again; make reset if it persists"
        )
        raise typer.Exit(1) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("stopped")
        raise typer.Exit(INTERRUPTED) from None
    for line in ended.sentences:
        console.print(line, highlight=False)
    for line in ended.warnings:
        console.print(f"! {line}", style="yellow", highlight=False)
    for line in ended.problems:
        console.print(f"✗ {line}", style="red", highlight=False)
    console.print(f"summary: {where / '.maasloop' / 'demo' / 'summary.json'}", highlight=False, soft_wrap=True)
    raise typer.Exit(1 if ended.problems else 0)


async def _until_signalled(demo: "Demo") -> "Ended":
    """Run the demo; SIGTERM ends it as Ctrl-C does, and a second one is not let in between what ends."""
    running = asyncio.current_task()
    ended: list[bool] = []

    def end() -> None:
        if running is not None and not ended:
            ended.append(running.cancel())

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    return await demo.run()


def _log_to(directory: Path) -> None:
    """Keep the terminal for the picture: what is logged goes to a file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / LOG
    logging.basicConfig(filename=path, filemode="w", level=logging.WARNING)
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=path.open("a", encoding="utf-8")))
