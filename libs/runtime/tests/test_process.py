"""A process starts in order, says how it is, drains in order, and ends when a part of it fails."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from maasloop.core.clock import FakeClock
from maasloop.postgres.migrate import Migration
from maasloop.runtime.http import HttpDoor
from maasloop.runtime.probes import BEAT_AGE_MAX_S, Probes
from maasloop.runtime.process import Process, Service
from maasloop.runtime.settings import ServiceSettings
from maasloop.telemetry import metrics


class DemoSettings(ServiceSettings, service="demo"):
    """Settings of a service that exists in tests only."""


class Story:
    """A service that tells what happened to it, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.pull_holds = asyncio.Event()
        self.pull_holds.set()
        self.reason: str | None = None

    async def start(self) -> None:
        """Be a door that opens."""
        self.told.append("door opened")

    async def refuse(self) -> None:
        """Be a door that refuses."""
        self.told.append("door refused")

    async def stop(self, grace_s: float) -> None:
        """Be a door that closes."""
        if "door closed" not in self.told:
            self.told.append("door closed")

    async def pull(self, stop: asyncio.Event) -> None:
        """Pull until told to stop, then finish what is held."""
        await stop.wait()
        self.told.append("pulling stopped")
        await self.pull_holds.wait()
        self.told.append("in flight finished")

    async def last(self) -> None:
        """Run for ever."""
        try:
            await asyncio.Event().wait()
        finally:
            self.told.append("task cancelled")

    async def check(self) -> str | None:
        """Say the reason against readiness."""
        return self.reason

    @asynccontextmanager
    async def assemble(self, settings: DemoSettings) -> AsyncIterator[Service]:
        """Compose the service."""
        self.told.append(f"assembled {settings.service}")
        yield Service(doors=[self], pulling={"pull": self.pull}, tasks={"last": self.last}, checks={"pool": self.check})
        self.told.append("left")


def _settings(**kwargs: Any) -> DemoSettings:  # noqa: ANN401 - any field of the message
    return DemoSettings(**{"postgres_dsn": SecretStr("dbname=x"), "drain_s": 5, "insecure_on_loopback": True, **kwargs})


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - the thing waited for has no event
        await asyncio.sleep(0.005)


async def _get(process: Process[Any], path: str) -> tuple[int, Any]:
    async with httpx2.AsyncClient() as client:
        answer = await client.get(f"http://{process.health.address}{path}")
    return answer.status_code, answer.json() if path != "/metrics" else answer.text


async def test_a_process_drains_in_order() -> None:
    """Not ready and refusing, then no more pulling, in flight finished, doors, eternal tasks, composition root."""
    story = Story()
    process = Process(story.assemble, _settings())
    living = asyncio.create_task(process.live())
    await _until(lambda: process.probes.started)

    process.ask_stop()
    process.ask_stop()

    assert await living == 0
    assert story.told == [
        "assembled demo",
        "door opened",
        "door refused",
        "pulling stopped",
        "in flight finished",
        "door closed",
        "task cancelled",
        "left",
    ]


async def test_probes_follow_the_life() -> None:
    """Ready only while the checks hold and nobody asked to stop; live and started meanwhile."""
    story = Story()
    story.pull_holds.clear()
    process = Process(story.assemble, _settings())
    living = asyncio.create_task(process.live())
    await _until(lambda: process.probes.started)
    assert await _get(process, "/health/startup") == (200, {"started": True})
    assert await _get(process, "/health/ready") == (200, {"ready": True, "checks": {"pool": {"ready": True}}})

    story.reason = "no connection"
    assert await _get(process, "/health/ready") == (
        503,
        {"ready": False, "checks": {"pool": {"ready": False, "reason": "no connection"}}},
    )
    story.reason = None

    process.ask_stop()
    status, answer = await _get(process, "/health/ready")
    assert (status, answer["checks"]["drain"]["reason"]) == (503, "shutting down")
    assert (await _get(process, "/health/live"))[0] == 200
    story.pull_holds.set()
    assert await living == 0


async def test_metrics_are_served_beside_the_probes() -> None:
    """The health port shows what was counted."""
    metrics.counter("maasloop_demo_stories_total", "stories").inc()
    process = Process(Story().assemble, _settings())
    living = asyncio.create_task(process.live())
    await _until(lambda: process.probes.started)

    status, text = await _get(process, "/metrics")

    assert status == 200
    assert "maasloop_demo_stories_total 1.0" in text
    process.ask_stop()
    await living


async def test_work_that_outlasts_the_drain_is_cut_short() -> None:
    """What does not finish in time is cancelled with a word, and the rest of the order holds."""
    story = Story()
    story.pull_holds.clear()
    process = Process(story.assemble, _settings(drain_s=0.05))
    living = asyncio.create_task(process.live())
    await _until(lambda: process.probes.started)

    with capture_logs() as lines:
        process.ask_stop()
        assert await living == 0

    assert [line["task"] for line in lines if line["event"] == "task_cut_short"] == ["pull"]
    assert story.told[-3:] == ["door closed", "task cancelled", "left"]


async def _fails() -> None:
    message = "broken"
    raise ValueError(message)


async def _returns() -> None:
    return None


@pytest.mark.parametrize(("work", "event"), [(_fails, "task_failed"), (_returns, "task_ended")])
async def test_a_task_that_fails_or_ends_ends_the_process(work: Callable[[], Awaitable[None]], event: str) -> None:
    """Crash-only: it is logged at once, everything is closed, and the exit status is not 0."""
    story = Story()

    @asynccontextmanager
    async def assemble(settings: DemoSettings) -> AsyncIterator[Service]:
        async with story.assemble(settings) as service:
            yield Service(doors=service.doors, pulling=service.pulling, tasks={**service.tasks, "weak": work})

    with capture_logs() as lines:
        assert await Process(assemble, _settings()).live() == 1

    assert [line["task"] for line in lines if line["event"] == event] == ["weak"]
    assert story.told[-1] == "door closed"


async def test_a_stop_while_a_neighbour_is_awaited_ends_the_process() -> None:
    """Assembling may wait for ever; being told to stop ends it, orderly."""
    waiting = asyncio.Event()

    @asynccontextmanager
    async def assemble(_settings: DemoSettings) -> AsyncIterator[Service]:
        waiting.set()
        await asyncio.Event().wait()
        yield Service()

    process = Process(assemble, _settings())
    living = asyncio.create_task(process.live())
    await waiting.wait()
    assert (await _get(process, "/health/startup"))[0] == 503
    assert (await _get(process, "/health/ready"))[0] == 503
    assert (await _get(process, "/health/live"))[0] == 200

    process.ask_stop()

    assert await living == 0


async def test_migrations_run_before_anything_is_assembled(postgres_dsn: str) -> None:
    """With migrate_at_start the schema is there when the composition root runs."""
    seen: list[str] = []

    @asynccontextmanager
    async def assemble(_settings: DemoSettings) -> AsyncIterator[Service]:
        seen.extend(line["event"] for line in lines)
        yield Service()

    process = Process(assemble, _settings(postgres_dsn=SecretStr(postgres_dsn)), [Migration(1, "one", "SELECT 1")])
    with capture_logs() as lines:
        living = asyncio.create_task(process.live())
        await _until(lambda: process.probes.started)
        process.ask_stop()
        await living

    assert "migration_applied" in seen


async def test_a_loop_that_stands_still_is_not_live() -> None:
    """Liveness is the age of the heartbeat and nothing else."""
    clock = FakeClock()
    probes = Probes(clock)
    door = HttpDoor(probes.app, "127.0.0.1:0")
    await door.start()
    async with httpx2.AsyncClient(base_url=f"http://{door.address}") as client:
        assert (await client.get("/health/live")).status_code == 200
        await clock.advance(BEAT_AGE_MAX_S + 1)
        assert (await client.get("/health/live")).status_code == 503
    await door.stop(0)


async def test_checks_that_hang_or_raise_are_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe always answers in time."""
    monkeypatch.setattr("maasloop.runtime.probes.CHECK_TIMEOUT_S", 0.02)
    probes = Probes(FakeClock())

    async def hangs() -> str | None:
        await asyncio.Event().wait()
        return None

    async def raises() -> str | None:
        message = "gone"
        raise ConnectionError(message)

    probes.start({"hangs": hangs, "raises": raises})

    assert await probes.reasons() == {"hangs": "no answer within 0.02 s", "raises": "ConnectionError: gone"}


async def test_a_taken_port_ends_the_process_with_a_sentence() -> None:
    """A second process on the same health port does not start, and leaves no socket open."""
    first = HttpDoor(Probes(FakeClock()).app, "127.0.0.1:0")
    await first.start()

    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{first.port}"):
        await HttpDoor(Probes(FakeClock()).app, first.address).start()
    await first.stop(0)


PROGRAM = '''
import asyncio, sys
from contextlib import asynccontextmanager
from maasloop.runtime import process
from maasloop.runtime.entry import entry
from maasloop.runtime.settings import ServiceSettings

class DemoSettings(ServiceSettings, service="demo"):
    """Demo."""

class Hanging:
    async def start(self): print("started", flush=True)
    async def refuse(self): pass
    async def stop(self, grace_s):
        if "--hang" in sys.argv: await asyncio.Event().wait()

async def weak():
    raise ValueError

@asynccontextmanager
async def assemble(settings):
    yield process.Service(doors=[Hanging()], tasks={"weak": weak} if "--fail" in sys.argv else {})

process.EXIT_MARGIN_S = 0.2
sys.exit(entry(DemoSettings, assemble, package="maasloop.core", argv=[a for a in sys.argv[1:] if a not in {"--hang", "--fail"}]))
'''


def _start(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, str(program), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "MAASLOOP_DEMO__POSTGRES_DSN": "dbname=x",
            "MAASLOOP_DEMO__INSECURE_ON_LOOPBACK": "true",
            "MAASLOOP_DEMO__DRAIN_S": "0.1",
            **environment,
        },
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_real_process(tmp_path: Path, number: signal.Signals) -> None:
    """Both signals lead to an orderly end with status 0."""
    with _start(tmp_path, MAASLOOP_DEMO__LOG_FORMAT="json") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(number)
        _, log = process.communicate(timeout=20)

    assert process.returncode == 0
    assert '"event": "process_stopped"' in log


def test_a_process_that_cannot_stop_is_ended_hard(tmp_path: Path) -> None:
    """The last resort works even if the orderly way hangs."""
    with _start(tmp_path, "--hang") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)

    assert process.returncode == 70


def test_a_failed_process_that_cannot_close_is_ended_hard(tmp_path: Path) -> None:
    """Crash-only holds as well when what must be closed hangs."""
    with _start(tmp_path, "--hang", "--fail") as process:
        _, log = process.communicate(timeout=20)

    assert process.returncode == 70
    assert "task_failed" in log


def test_wrong_settings_are_told_before_anything_starts(tmp_path: Path) -> None:
    """Exit status 64, the variable by name, and no secret."""
    with _start(tmp_path, MAASLOOP_DEMO__DRAIN_S="hunter2", MAASLOOP_DEMO__GRPC_ADDRESS="127.0.0.1:0") as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 64
    assert "MAASLOOP_DEMO__DRAIN_S: " in errors
    assert "hunter2" not in errors

    with _start(tmp_path, MAASLOOP_DEMO__NATS_ULR="x") as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 64
    assert errors == "maasloop demo: no such setting: MAASLOOP_DEMO__NATS_ULR\n"


def test_the_schema_and_the_help_are_printed(tmp_path: Path) -> None:
    """Both go to standard output without any setting given."""
    with _start(tmp_path, "settings-schema") as process:
        schema, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert '"nats_url"' in schema

    with _start(tmp_path, "--help") as process:
        text, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "python -m maasloop.demo" in text
