"""import-linter holds on the checkout, and each of its contracts is shown to catch a sabotaged import."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "pyproject.toml"

SABOTAGES = [
    ("inside-a-service", "ingest/domain/reading.py", "import maasloop.ingest.ports"),
    ("inside-a-service", "ingest/handlers/record.py", "import maasloop.ingest.adapters"),
    ("inside-a-service", "ingest/adapters/bus.py", "import maasloop.ingest.entrypoints"),
    ("inside-a-service", "ingest/entrypoints/rpc.py", "import maasloop.ingest.settings"),
    ("inside-a-service", "ingest/attic.py", ""),
    ("inside-the-signals", "actuation/domain/signals/kernel.py", "import maasloop.actuation.domain.signals.traffic"),
    ("inside-the-signals", "actuation/domain/signals/sheet.py", "import maasloop.actuation.domain.signals.controller"),
    (
        "inside-the-signals",
        "actuation/domain/signals/traffic/area.py",
        "import maasloop.actuation.domain.signals.controller",
    ),
    ("inside-the-signals", "actuation/domain/signals/attic.py", ""),
    ("services-apart", "ingest/adapters/consent.py", "import maasloop.consent"),
    ("library-tiers", "core/ids.py", "import maasloop.telemetry"),
    ("library-tiers", "bus/publish.py", "import maasloop.rpc"),
    ("library-tiers", "stack/platform.py", "import maasloop.twin"),
    ("library-tiers", "rsmp/site.py", "import maasloop.twin"),
    ("libraries-below-services", "stack/platform.py", "import maasloop.ingest"),
    ("services-without-tools", "ingest/app.py", "import maasloop.testing"),
    ("no-circles", "core/reasons.py", "import maasloop.core.errors"),
    ("pure-domain", "ingest/domain/reading.py", "import numpy"),
    ("pure-domain", "ingest/domain/reading.py", "import maasloop.api"),
    ("plain-handlers", "ingest/handlers/record.py", "import psycopg"),
    ("plain-handlers", "ingest/ports.py", "import maasloop.bus"),
]


def _packages() -> list[str]:
    linter = tomllib.loads(CONFIGURATION.read_text())["tool"]["importlinter"]
    return [str(package) for package in linter["root_packages"]]


def _lint(path: str = "") -> subprocess.CompletedProcess[str]:
    """Run import-linter with the checkout's contracts; packages below ``path`` come before the installed ones."""
    program = str(Path(sys.executable).with_name("lint-imports"))
    command = [program, "--config", str(CONFIGURATION), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=ROOT)


def _broken(contract: str) -> str:
    contracts = tomllib.loads(CONFIGURATION.read_text())["tool"]["importlinter"]["contracts"]
    (name,) = (each["name"] for each in contracts if each["id"] == contract)
    return f"{name} BROKEN"


def _skeleton(root: Path) -> None:
    """Make every package of the workspace, with the rooms of one service, those of the signals, and hardly anything inside."""
    rooms = [f"maasloop.ingest.{room}" for room in ("domain", "handlers", "adapters", "entrypoints")]
    signals = [f"maasloop.actuation.{room}" for room in ("domain", "domain.signals", "domain.signals.traffic")]
    for package in [*_packages(), *rooms, *signals]:
        folder = root.joinpath(*package.split("."))
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
    modules = ("ingest/app", "ingest/settings", "ingest/ports", "actuation/domain/signals/controller")
    for name in modules:
        (root / "maasloop" / f"{name}.py").touch()
    (root / "maasloop" / "core" / "errors.py").write_text("import maasloop.core.reasons\n")
    (root / "maasloop" / "core" / "reasons.py").touch()


def test_checkout_keeps_its_layers() -> None:
    """No import of the checkout points the wrong way."""
    result = _lint()

    assert result.returncode == 0, result.stdout


def test_every_member_is_under_contract() -> None:
    """A member that import-linter does not know would be free to import anything."""
    members = {path.parent.name.replace("-", "_") for path in ROOT.glob("[ls]*s/*/pyproject.toml")}

    assert {f"maasloop.{name}" for name in members} == set(_packages())


def test_skeleton_is_clean(tmp_path: Path) -> None:
    """The made-up tree breaks nothing by itself."""
    _skeleton(tmp_path)
    result = _lint(str(tmp_path))

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(("contract", "path", "statement"), SABOTAGES)
def test_contract_catches_sabotage(contract: str, path: str, statement: str, tmp_path: Path) -> None:
    """A forbidden import, or a module without a room, breaks its contract."""
    _skeleton(tmp_path)
    (tmp_path / "maasloop" / path).write_text(f"{statement}\n")
    result = _lint(str(tmp_path))

    assert result.returncode == 1, result.stdout
    assert _broken(contract) in result.stdout
