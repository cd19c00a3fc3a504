"""The command line of ``python -m maasloop.<service>``: serve, migrate, or print the schema of the settings."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from pydantic import ValidationError

from maasloop import telemetry
from maasloop.postgres.migrate import Migration, migrate, of_package

from .allocating import use_one_arena
from .process import Assemble, run
from .settings import ServiceSettings, UnknownSetting, environment_prefix

EXIT_STATUS_USAGE = 64
"""sysexits' EX_USAGE: nothing was started because the settings are wrong."""


def entry[S: ServiceSettings](
    settings_type: type[S], assemble: Assemble[S], *, package: str, argv: Sequence[str] | None = None
) -> int:
    """Do what the command line asks for and return the exit status."""
    arguments = _parser(settings_type).parse_args(argv)
    if arguments.action == "settings-schema":
        sys.stdout.write(json.dumps(settings_type.model_json_schema(), indent=2, sort_keys=True) + "\n")
        return 0
    try:
        settings = settings_type.load(arguments.settings)
        if arguments.action == "serve":
            settings.require_identities()
    except (UnknownSetting, ValidationError, OSError, ValueError) as error:
        sys.stderr.write(_complaint(settings_type, error))
        return EXIT_STATUS_USAGE
    migrations = _migrations(package)
    if arguments.action == "migrate":
        telemetry.configure(settings.service, log_format=settings.log_format, log_level=settings.log_level)
        asyncio.run(migrate(settings.postgres_dsn.get_secret_value(), migrations))
        return 0
    use_one_arena()
    return run(assemble, settings, migrations)


def _parser(settings_type: type[ServiceSettings]) -> argparse.ArgumentParser:
    module = settings_type.service.replace("-", "_")
    parser = argparse.ArgumentParser(
        prog=f"python -m maasloop.{module}",
        description=f"The {settings_type.service} service of Maasloop.",
        epilog=f"Every setting is also an environment variable: {environment_prefix(settings_type.service)}<SETTING>.",
    )
    parser.add_argument("--settings", type=Path, metavar="FILE", help="YAML, JSON or TOML file; the environment wins")
    parser.add_argument(
        "action",
        nargs="?",
        default="serve",
        choices=["serve", "migrate", "settings-schema"],
        help="serve (default), bring the database schema up to date, or print the JSON schema of the settings",
    )
    return parser


def _migrations(package: str) -> list[Migration]:
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return of_package(package) if any((Path(place) / "migrations").is_dir() for place in places or ()) else []


def _complaint(settings_type: type[ServiceSettings], error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"maasloop {settings_type.service}: {error}\n"
    lines = [f"maasloop {settings_type.service}: the settings are wrong"]
    for problem in error.errors(include_url=False, include_input=False):
        where = "__".join(str(part) for part in problem["loc"]).upper()
        lines.append(f"  {environment_prefix(settings_type.service)}{where}: {problem['msg']}")
    return "\n".join(lines) + "\n"
