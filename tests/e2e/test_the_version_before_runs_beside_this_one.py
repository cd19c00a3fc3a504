"""Two versions of the code run side by side on the newer schema: while one replaces the other, and after it was taken back.

What is done in which order are the lines of the page on upgrades. Helm says what it would apply; processes stand for pods.
The version before is the code as it was before the last change of a migration, taken out of the repository's history.
"""

import asyncio
import io
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from tests.e2e import pages

from kubecluster.tools import packaged
from maasloop.stack.local import LocalStack, StackOptions
from maasloop.stack.servers.databases import SERVICES, schema_name
from maasloop.stack.services import service_environment
from maasloop.testing.plugin import NOT_RUN, running_stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
MIGRATIONS = (":(glob)services/*/src/**/migrations/*.sql", ":(glob)libs/*/src/**/migrations/*.sql")
PAGE = ROOT / "docs" / "how-to" / "operate" / "upgrade-and-roll-back.md"
VALUES = ROOT / "deploy" / "helm" / "maasloop" / "ci" / "minimal-values.yaml"
COMMAND_TIMEOUT_S = 200
STEPS = 3
"""Lines of the selftest, below the one that names its columns."""
CHOOSING = """
import sys
from pathlib import Path

here = Path(__file__).parent
if sys.orig_argv[-1] in (here / "services-of-the-version-before").read_text().split():
    sys.path[:0] = sorted(str(each) for each in (here / "before").glob("*/*/src"))
"""
"""Run by Python itself when a service starts."""


@dataclass(frozen=True, slots=True)
class Versions:
    """A stack, and which of its services are of the version before from their next start on."""

    stack: LocalStack
    choice: Path

    def choose(self, services: Iterable[str]) -> None:
        """Let these services be of the version before, and all others of this one."""
        self.choice.write_text("\n".join(f"maasloop.{schema_name(service)}" for service in services))

    async def replace(self, services: Iterable[str]) -> None:
        """Restart services one after the other, each with the version that was chosen for it."""
        for service in services:
            await asyncio.to_thread(self.stack.services[service].stop)
            self.stack.services[service].start()
            await self.stack.wait_ready(service)


@pytest.fixture(name="versions")
def _versions(tmp_path: Path) -> Iterator[Versions]:
    """A stack whose services are all of the version before."""
    _take_out(tmp_path / "before")
    (tmp_path / "sitecustomize.py").write_text(CHOOSING)
    choice = tmp_path / "services-of-the-version-before"
    choice.write_text("\n".join(f"maasloop.{schema_name(service)}" for service in SERVICES))
    with running_stack(StackOptions(environment={"PYTHONPATH": str(tmp_path)}), migrated=False) as stack:
        yield Versions(stack, choice)


async def test_the_version_before_runs_beside_this_one(versions: Versions, tmp_path: Path) -> None:
    """A city is upgraded service by service and rolled back as the page says, and its loop holds in each state."""
    upgrade, roll_back = pages.blocks(PAGE)
    applied = _applied(upgrade.pop(0), tmp_path)
    before = _migrations(versions.stack)
    await asyncio.to_thread(_migrate, versions.stack, applied)
    assert _migrations(versions.stack) > before

    half = len(SERVICES) // 2
    versions.choose(SERVICES[half:])
    await versions.replace(SERVICES[:half])
    beside = await asyncio.to_thread(_maasloop, versions.stack, "selftest", "--wait", "90")
    versions.choose(())
    await versions.replace(SERVICES[half:])
    for line in upgrade:
        await _followed(versions.stack, line, applied)

    assert roll_back.pop(0) == "helm rollback maasloop"
    assert not [each for each in applied if "rollback" in str(each["metadata"].get("annotations"))]
    versions.choose(SERVICES)
    await versions.replace(SERVICES)
    rolled_back = await asyncio.to_thread(_maasloop, versions.stack, "selftest", "--wait", "90")
    for line in roll_back:
        await _followed(versions.stack, line, applied)

    assert [text.count("\n") for text in (beside, rolled_back)] == [STEPS + 1, STEPS + 1]


def _applied(line: str, home: Path) -> list[dict[str, Any]]:
    """Return what Helm would apply by a line of the page, hooks among it."""
    helm, verb, *rest = shlex.split(line)
    assert (helm, verb) == ("helm", "upgrade")
    words = [str(VALUES) if word == "yours.yaml" else word for word in rest]
    variables = {"PATH": os.environ["PATH"], "HOME": str(home)}
    binary = packaged("helm", ROOT / ".maasloop" / "tools")
    done = subprocess.run(
        [binary, "template", "--is-upgrade", *words],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def _migrate(stack: LocalStack, applied: list[dict[str, Any]]) -> None:
    """Run what the jobs run that bring schemas up to date before any pod is replaced."""
    jobs = [each for each in applied if each["kind"] == "Job" and "-migrate-" in each["metadata"]["name"]]
    assert all("pre-upgrade" in each["metadata"]["annotations"]["helm.sh/hook"] for each in jobs)
    migrated = set()
    for job in jobs:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        service = job["metadata"]["name"].partition("-migrate-")[2]
        variables = os.environ | service_environment(service, stack.neighbours)
        command = [sys.executable, *container["command"][1:]]
        subprocess.run(command, env=variables, cwd="/", timeout=COMMAND_TIMEOUT_S, check=True)
        migrated.add(service)
    assert migrated == set(SERVICES)


async def _followed(stack: LocalStack, line: str, applied: list[dict[str, Any]]) -> None:
    """Do what a line of the page does: wait for a workload that Helm applies, or run a command that ends well."""
    words = shlex.split(line)
    if words[:3] == ["kubectl", "rollout", "status"]:
        names = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in applied}
        assert words[3] in names
        await stack.wait_ready(words[3].partition("/maasloop-")[2])
        return
    assert words[0] == "maasloop"
    await asyncio.to_thread(_maasloop, stack, *words[1:])


def _take_out(directory: Path) -> None:
    """Write the code of the version before into a directory."""
    last = _git("rev-list", "-1", "HEAD", "--", *MIGRATIONS).decode().strip()
    try:
        archive = _git("archive", f"{last}^", "libs", "services")
    except subprocess.CalledProcessError:
        pytest.skip(f"{NOT_RUN}the repository's history does not go back to the version before")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(directory, filter="data")


def _git(*arguments: str) -> bytes:
    git = shutil.which("git") or "git"
    return subprocess.run([git, "-C", str(ROOT), *arguments], capture_output=True, check=True).stdout


def _migrations(stack: LocalStack) -> set[tuple[str, int]]:
    """Return the migrations that were applied, by schema and number."""
    with psycopg.connect(stack.postgres_dsn) as connection:
        return {
            (schema, int(row[0]))
            for schema in map(schema_name, SERVICES)
            for row in connection.execute(f"SELECT version FROM {schema}.migrations".encode())
        }


def _maasloop(stack: LocalStack, *words: str) -> str:
    command = [str(Path(sys.executable).with_name("maasloop")), "--root", str(stack.directory.root), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
