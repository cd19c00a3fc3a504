"""The chart's page: its commands take files that `maasloop identities` makes, and make the Secrets that pods read."""

import re
import shlex
from pathlib import Path

import pytest
from tests.chart.parts.rendered import CHART, MINIMAL, HelmLibrary, at, merged, settings_file

from maasloop.cli.nouns.identities import identities

OWN = {"ca.crt", "grants.toml"}
"""What the city has from elsewhere."""
SERVICES = ("ingest", "actuation", "device-registry", "notification")
"""Whose Secrets the page makes; those of the others are made like those of ingest."""


@pytest.fixture(name="city", scope="module")
def _city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("city")
    identities(directory)
    return directory


@pytest.fixture(name="commands", scope="module")
def _commands() -> list[list[str]]:
    lines = (CHART / "README.md").read_text().replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("    kubectl create ")]


def test_the_files_of_the_commands_are_there(commands: list[list[str]], city: Path) -> None:
    """Who follows the page finds each file where it says."""
    paths = {path for command in commands for _, path in _files(command)}

    assert len(paths) > len(SERVICES)
    assert [path for path in paths - OWN if not (city / path).exists()] == []


@pytest.mark.parametrize("service", SERVICES)
def test_the_secrets_hold_what_settings_name(
    library: HelmLibrary, commands: list[list[str]], city: Path, service: str
) -> None:
    """Each file of a Secret that a service is told of is a key of what the page makes."""
    told = merged(MINIMAL, at("access.tokensSecret", "maasloop-tokens"))
    settings = settings_file(library.render(told), service)
    named = re.findall(r"/run/maasloop/(nats|keys|tokens)/([a-z.-]+)", str(settings))
    made = {command[4]: set(_keys(command, city)) for command in commands if command[2] == "secret"}

    assert {volume for volume, _ in named} >= {"nats", "tokens"}
    for volume, file in named:
        own, like = f"maasloop-{service}-{volume}", f"maasloop-ingest-{volume}"
        secret = "maasloop-tokens" if volume == "tokens" else own if own in made else like
        assert file in made[secret], f"{secret} {file}"


def _files(command: list[str]) -> list[tuple[str, str]]:
    """Return key and path of each file that a command reads."""
    found = [word.removeprefix("--from-file=") for word in command if word.startswith("--from-file=")]
    parts = [each.rpartition("=") for each in found]
    return [(key or Path(path).name, path) for key, _, path in parts]


def _keys(command: list[str], city: Path) -> list[str]:
    """Return the keys of the Secret that a command makes; each file of a folder is one."""
    keys: list[str] = []
    for key, path in _files(command):
        folder = city / path
        keys += [each.name for each in folder.iterdir()] if folder.is_dir() else [key]
    return keys
