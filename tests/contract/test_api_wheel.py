"""``maasloop-api`` is a wheel of its own: a caller needs nothing else of us."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import importlib, pkgutil, maasloop.api
found = [each.name for each in pkgutil.walk_packages(maasloop.api.__path__, "maasloop.api.")]
for name in found:
    importlib.import_module(name)
from maasloop.api.command.v1.command_pb2 import LightLevel
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
import protovalidate
protovalidate.validate(LightLevel(level_percent=50))
try:
    protovalidate.validate(LightLevel(level_percent=500))
except protovalidate.ValidationError:
    print(len(found), "modules, rules hold")
"""


def _uv(*arguments: str) -> None:
    local = ROOT / ".uv" / "bin" / "uv"
    uv = str(local) if local.is_file() else shutil.which("uv")
    assert uv, "run make setup"
    subprocess.run([uv, "--no-progress", *arguments], check=True, cwd=ROOT)


@pytest.fixture(name="wheel", scope="module")
def _wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _uv("build", "--package", "maasloop-api", "--wheel", "--python", sys.executable, "--out-dir", str(folder))
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_wheel_holds_all_stubs(wheel: Path) -> None:
    """The wheel has every generated file and the marker of types, and leaves the namespace open."""
    source = ROOT / "libs" / "api" / "src"
    stubs = {path.relative_to(source).as_posix() for path in source.rglob("*_pb2*.py*") if path.suffix != ".pyc"}
    names = set(zipfile.ZipFile(wheel).namelist())

    assert stubs | {"maasloop/api/py.typed"} <= names
    assert "maasloop/__init__.py" not in names


def test_wheel_works_alone(wheel: Path, tmp_path: Path) -> None:
    """In a fresh environment with only its dependencies every stub imports and the rules hold."""
    environment = tmp_path / "environment"
    python = environment / "bin" / "python"
    _uv("venv", "--python", sys.executable, str(environment))
    _uv("pip", "install", "--python", str(python), str(wheel))
    result = subprocess.run([str(python), "-I", "-c", PROGRAM], check=False, capture_output=True, text=True)

    assert result.returncode == 0, result.stderr
    assert "modules, rules hold" in result.stdout
