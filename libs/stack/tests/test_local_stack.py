"""The stack starts, survives a crash of each server, restarts what exits, and leaves nothing behind."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from maasloop.core.clock import SystemClock
from maasloop.stack import control
from maasloop.stack.errors import StackError, StackRunningError
from maasloop.stack.local import LocalStack, StackOptions
from maasloop.stack.process import ManagedProcess
from maasloop.stack.state import StateDirectory
from maasloop.stack.supervision import RESTARTS_MAX, STEADY_S, History, Supervisor

pytestmark = pytest.mark.integration

SERVERS_ONLY = StackOptions(services=(), restart=False, ensure_streams=False, durable_initdb=False)


async def test_both_servers_come_back_with_their_data(checkout: Path) -> None:
    """Kill -9 of NATS and of PostgreSQL, and a restart of the whole stack, keep ports and data."""
    async with LocalStack(checkout, SERVERS_ONLY) as stack:
        with psycopg.connect(stack.service_dsns["consent"]) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS id")
        for name in ("nats", "postgres"):
            pid = stack.processes[name].pid
            stack.kill9(name)
            stack.start(name)
            assert stack.directory.read().pids[name] != pid
        with psycopg.connect(stack.service_dsns["consent"]) as connection:
            assert connection.execute("SELECT id FROM kept").fetchone() == (7,)

    async with LocalStack(checkout, SERVERS_ONLY) as stack:
        with psycopg.connect(stack.service_dsns["consent"]) as connection:
            assert connection.execute("SELECT id FROM kept").fetchone() == (7,)


async def test_a_second_stack_is_refused_and_the_first_lives_on(checkout: Path) -> None:
    """Starting beside a running stack says so and breaks nothing."""
    async with LocalStack(checkout, SERVERS_ONLY) as stack:
        with pytest.raises(StackRunningError, match="already runs"):
            await LocalStack(checkout, SERVERS_ONLY).__aenter__()
        assert stack.nats.ready()
        assert stack.postgres.ready()


async def test_a_failed_start_leaves_no_process(checkout: Path) -> None:
    """When a service cannot start, what was started before it is stopped, and the error names its log."""
    options = StackOptions(
        services=("ingest",),
        restart=False,
        ensure_streams=False,
        durable_initdb=False,
        environment={"MAASLOOP_INGEST__NO_SUCH_SETTING": "1"},
    )
    stack = LocalStack(checkout, options)

    with pytest.raises(StackError, match=r"ingest\.log"):
        await stack.__aenter__()

    assert not any(process.alive for process in stack.processes.values())
    assert StateDirectory(checkout).holder() is None


def test_a_killed_stack_can_be_started_again_at_once(checkout: Path) -> None:
    """After SIGKILL of the supervisor its servers end by themselves and a new stack takes over their data."""
    program = (
        "import asyncio, os, pathlib, signal, sys\n"
        "from maasloop.stack.local import LocalStack, StackOptions\n"
        "async def main():\n"
        "    options = StackOptions(services=(), restart=False, ensure_streams=False, durable_initdb=False)\n"
        "    async with LocalStack(pathlib.Path(sys.argv[1]), options):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(checkout)], check=False)
    assert done.returncode == -signal.SIGKILL

    async def again() -> None:
        async with LocalStack(checkout, SERVERS_ONLY) as stack:
            assert stack.postgres.ready()

    asyncio.run(again())


async def test_what_exits_is_started_again_until_it_is_hopeless(tmp_path: Path) -> None:
    """A process that keeps ending is restarted a limited number of times, then given up with its log."""
    process = ManagedProcess("flaky", ["sh", "-c", "echo again; exit 3"], log_path=tmp_path / "flaky.log")
    restarts: list[str] = []

    async def note(name: str) -> None:
        restarts.append(name)

    supervisor = Supervisor({"flaky": process}, SystemClock(), note, pause_first_s=0.0)
    process.start()

    with pytest.raises(ExceptionGroup) as caught:
        await supervisor.run()

    assert restarts == ["flaky"] * RESTARTS_MAX
    assert "status 3" in str(caught.value.exceptions[0])


def test_a_steady_run_forgives_earlier_exits() -> None:
    """Exits far apart never add up to giving up."""
    history = History()

    for round_number in range(1, 3 * RESTARTS_MAX):
        assert history.note_exit(round_number * (STEADY_S + 1))
        history.started_s = round_number * (STEADY_S + 1)


def test_a_stack_in_the_background_is_found_and_stopped(checkout: Path) -> None:
    """Up returns the addresses and leaves the stack running, a second up is refused, down ends every process."""
    told: list[str] = []
    state = control.start_in_background(checkout, told.append, servers_only=True)

    assert told[0] == "starting NATS and PostgreSQL"
    assert state == StateDirectory(checkout).read()
    with psycopg.connect(state.service_dsns["ingest"]) as connection:
        assert connection.execute("SELECT current_schema()").fetchone() == ("ingest",)
    with pytest.raises(StackRunningError, match="make down"):
        control.start_in_background(checkout, told.append, servers_only=True)

    assert control.stop_in_background(checkout)

    assert not control.stop_in_background(checkout)
    with pytest.raises(StackError, match="make up"):
        StateDirectory(checkout).read()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(state.postgres_dsn)
