"""The contracts, generated once a session into a temporary folder."""

import pytest

from generated import Generated, generate
from generators.descriptors import File, read_image


@pytest.fixture(name="generated", scope="session")
def _generated(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    return generate(tmp_path_factory.mktemp("contract"))


@pytest.fixture(name="contract", scope="session")
def _contract(generated: Generated) -> list[File]:
    return read_image(generated.image)
