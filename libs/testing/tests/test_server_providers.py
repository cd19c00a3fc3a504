"""Where servers come from is decided by the environment and by what this machine has."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Self

import nats
import pytest
import testcontainers.core.container
import testcontainers.core.waiting_utils

from maasloop.testing import plugin, providers
from maasloop.testing.containers import TIMESCALE_IMAGE
from maasloop.testing.endpoints import GivenTimescale, NatsEndpoint


def test_a_given_server_keeps_host_and_port_for_other_roles() -> None:
    """Only database and user change; the superuser keeps the password, others are trusted without."""
    server = GivenTimescale("postgresql://postgres:secret@db:5433/postgres")

    assert server.dsn("one") == "postgresql://postgres:secret@db:5433/one"
    assert server.dsn("one", "maasloop_consent") == "postgresql://maasloop_consent@db:5433/one"


def test_urls_in_the_environment_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """A named server is taken and none is started."""
    monkeypatch.setenv(providers.POSTGRES_URL_VARIABLE, "postgresql://postgres@elsewhere/postgres")
    monkeypatch.setenv(providers.NATS_URL_VARIABLE, "nats://elsewhere:4222")
    monkeypatch.setenv(providers.MQTT_ADDRESS_VARIABLE, "elsewhere:1884")

    with providers.provide_timescale() as timescale, providers.provide_nats() as bus:
        assert timescale == GivenTimescale("postgresql://postgres@elsewhere/postgres")
        assert bus == NatsEndpoint("nats://elsewhere:4222", ("elsewhere", 1884))


def test_a_machine_without_postgres_gets_a_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without PostgreSQL 17 the official image runs with checksums, and its published port is used."""
    asked: list[object] = []

    class Container:
        """Records what it is asked for."""

        def __init__(self, image: str) -> None:
            asked.append(image)

        def with_env(self, key: str, value: str) -> Self:
            asked.append((key, value))
            return self

        def with_exposed_ports(self, port: int) -> Self:
            asked.append(port)
            return self

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            asked.append("removed")

        def get_container_host_ip(self) -> str:
            return "127.0.0.1"

        def get_exposed_port(self, port: int) -> int:
            return port + 1

    monkeypatch.setattr(providers, "BINARY_DIRECTORY", tmp_path)
    monkeypatch.delenv(providers.POSTGRES_URL_VARIABLE, raising=False)
    monkeypatch.setattr(testcontainers.core.container, "DockerContainer", Container)
    monkeypatch.setattr(testcontainers.core.waiting_utils, "wait_for_logs", lambda *_, **__: None)

    with providers.provide_timescale() as timescale:
        assert timescale.dsn("x") == "postgresql://postgres@127.0.0.1:5433/x"

    assert asked[0] == TIMESCALE_IMAGE
    assert ("POSTGRES_INITDB_ARGS", "--data-checksums") in asked
    assert asked[-1] == "removed"


async def test_a_given_nats_is_emptied_between_tests(nats_url: str) -> None:
    """Wiping deletes every stream of a server that is not ours to restart."""
    client = await nats.connect(nats_url)
    await client.jetstream().add_stream(name="LEFTOVER", subjects=["leftover"])

    await providers.delete_streams(nats_url)

    assert await client.jetstream().streams_info() == []
    await client.close()


def test_a_test_that_takes_a_server_is_marked_and_runs_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit tests come first, then what needs a server, and unit tests alone can be chosen."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (tmp_path / "test_order.py").write_text(
        "import pytest\n"
        "@pytest.mark.e2e\n"
        "def test_story(): pass\n"
        "def test_server(postgres_dsn): pass\n"
        "def test_plain(): pass\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    integration\n    e2e\n")
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", str(tmp_path)]

    every = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    units = subprocess.run(
        [*command, "-m", "not integration and not e2e"], check=True, capture_output=True, text=True, cwd=tmp_path
    ).stdout

    assert [line.partition("::")[2] for line in every.splitlines()[:3]] == ["test_plain", "test_server", "test_story"]
    assert [line.partition("::")[2] for line in units.splitlines()[:1]] == ["test_plain"]


def test_what_was_not_run_is_told_by_a_run_of_several_workers(tmp_path: Path) -> None:
    """A skip that says so is in the summary with its reason, whoever ran it; the last line is the runner's."""
    (tmp_path / "test_missing.py").write_text(
        "import pytest\n"
        "def test_runs(): pass\n"
        "@pytest.mark.parametrize('one', [1, 2])\n"
        "def test_compares(one): pytest.skip('not run: no sheet, SHEET names it')\n"
        "def test_elsewhere(): pytest.skip('another system')\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "--numprocesses", "2", "--dist", "loadfile", "-p", "no:cacheprovider"]

    told = subprocess.run([*command, str(tmp_path)], check=True, capture_output=True, text=True, cwd=tmp_path).stdout

    lines = told.splitlines()
    assert "2 tests: no sheet, SHEET names it" in lines
    assert "another system" not in told
    assert "1 passed, 3 skipped" in lines[-1]


def test_what_measures_runs_while_no_other_worker_runs_anything(tmp_path: Path) -> None:
    """Two workers run two files at once, and whatever began before or begins after does not overlap with it."""
    beside = "import pytest, pathlib, time\ndef note(what): pathlib.Path('told').open('a').write(what)\n"
    (tmp_path / "test_others.py").write_text(
        f"{beside}@pytest.mark.parametrize('one', range(20))\ndef test_other(one):\n"
        "    note('o')\n    time.sleep(0.05)\n    note('o')\n"
    )
    (tmp_path / "test_measured.py").write_text(
        f"{beside}@pytest.mark.alone\ndef test_measured():\n    note('m')\n    time.sleep(0.5)\n    note('m')\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    alone\n")
    command = [sys.executable, "-m", "pytest", "--numprocesses", "2", "--dist", "loadfile", "-p", "no:cacheprovider"]

    subprocess.run([*command, str(tmp_path)], check=True, capture_output=True, cwd=tmp_path)

    told = (tmp_path / "told").read_text()
    assert told.count("o") == 2 * 20
    assert "mm" in told


def test_workers_are_as_many_as_find_work(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> None:
    """Unit tests fill a core each, servers are waited for; one given broker, whose streams each test deletes, has one."""
    monkeypatch.delenv(providers.NATS_URL_VARIABLE, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(pytestconfig.option, "markexpr", "not integration and not e2e")
    assert plugin.pytest_xdist_auto_num_workers(pytestconfig) == 2

    monkeypatch.setattr(pytestconfig.option, "markexpr", "integration or e2e")
    assert plugin.pytest_xdist_auto_num_workers(pytestconfig) == 3

    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert plugin.pytest_xdist_auto_num_workers(pytestconfig) == plugin.WORKERS_MAX

    monkeypatch.setenv(providers.NATS_URL_VARIABLE, "nats://elsewhere:4222")
    assert plugin.pytest_xdist_auto_num_workers(pytestconfig) == 1


def test_scratch_of_a_killed_session_is_removed(tmp_path: Path) -> None:
    """Directories of a process that is gone are deleted, those of a living one stay."""
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    orphan = tmp_path / f"{providers.SCRATCH_PREFIX}{gone.pid}-x"
    ours = tmp_path / f"{providers.SCRATCH_PREFIX}{os.getpid()}-x"
    for directory in (orphan, ours):
        (directory / "data").mkdir(parents=True)

    providers.remove_orphans(tmp_path)

    assert not orphan.exists()
    assert ours.exists()
