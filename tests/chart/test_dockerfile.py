"""The one Dockerfile keeps its promises: locked, without root, without a shell to start, stoppable."""

import re
import tomllib
from pathlib import Path

import pytest

from maasloop.stack.servers.databases import SERVICES

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"


@pytest.fixture(name="instructions", scope="module")
def _instructions() -> list[str]:
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    return [each for each in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines() if each]


@pytest.fixture(name="runtime", scope="module")
def _runtime(instructions: list[str]) -> list[str]:
    """The last stage: what is in the image."""
    last = max(at for at, each in enumerate(instructions) if each.startswith("FROM "))
    return instructions[last:]


@pytest.mark.parametrize("member", [*SERVICES, "cli"])
def test_an_argument_names_a_member(member: str) -> None:
    """What the chart runs can be built: each service and the command line are members of the workspace."""
    folder = ROOT / ("libs/cli" if member == "cli" else f"services/{member}")

    assert tomllib.loads((folder / "pyproject.toml").read_text())["project"]["name"] == f"maasloop-{member}"


def test_the_image_runs_as_a_number_that_is_not_root(runtime: list[str]) -> None:
    """Kubernetes can see that the user is not root only where it is a number; the chart names the same."""
    (user,) = (each for each in runtime if each.startswith("USER "))
    pod = (ROOT / "deploy/helm/maasloop/templates/_pod.tpl").read_text()

    assert user == "USER 10001:10001"
    assert "runAsUser: 10001" in pod


def test_dependencies_are_locked_and_those_of_one_member(instructions: list[str]) -> None:
    """The image has what the lock file says for that member, and no source tree behind it."""
    (sync,) = (each for each in instructions if " sync " in each)

    assert {"--frozen", "--no-dev", "--no-editable", "--package"} <= set(sync.split())
    assert "maasloop-${SERVICE" in sync


def test_uv_is_one_that_the_project_takes(instructions: list[str]) -> None:
    """The version of uv in the image is pinned to one that local set-up takes too."""
    (version,) = (each.partition("=")[2] for each in instructions if each.startswith("ARG UV_VERSION="))
    requirement = (ROOT / "libs/stack/src/maasloop/stack/setup/environment.py").read_text()

    assert f"uv>={version}" in requirement


def test_it_starts_without_a_shell_and_stops_by_the_signal(runtime: list[str]) -> None:
    """The process is the first one in its container, so that it hears SIGTERM, and drains."""
    (entry,) = (each for each in runtime if each.startswith("ENTRYPOINT "))

    assert entry.startswith('ENTRYPOINT ["/')
    assert "STOPSIGNAL SIGTERM" in runtime
    assert not any(each.startswith("CMD ") for each in runtime)


def test_nothing_to_build_with_is_left(runtime: list[str]) -> None:
    """The last stage copies the environment and installs nothing."""
    assert not any(each.startswith("RUN ") for each in runtime)
    assert [each for each in runtime if each.startswith("COPY ")] == ["COPY --from=build /opt/maasloop /opt/maasloop"]


def test_the_image_says_what_it_is(runtime: list[str]) -> None:
    """Title, version, revision and licence are labels."""
    (labels,) = (each for each in runtime if each.startswith("LABEL "))

    for name in ("title", "version", "revision", "licenses"):
        assert f"org.opencontainers.image.{name}=" in labels


def test_no_registry_is_named(instructions: list[str]) -> None:
    """Where images come from is the builder's choice."""
    bases = [each.split()[1] for each in instructions if each.startswith("FROM ")]

    assert bases == ["${BASE}", "python", "python"]
    assert "ARG BASE=debian:trixie-slim" in instructions
