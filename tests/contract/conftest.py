"""The contracts, generated once a session into a temporary folder."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from generators.descriptors import File, read_image

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Generated:
    """What ``make proto`` would write."""

    stubs: Path
    reasons: Path
    image: Path


@pytest.fixture(name="generated", scope="session")
def _generated(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    folder = tmp_path_factory.mktemp("contract")
    made = Generated(folder / "stubs", folder / "reasons.py", folder / "image.binpb")
    script = str(ROOT / "scripts" / "generate_protos.py")
    arguments = ["--out", str(made.stubs), "--reasons", str(made.reasons), "--image", str(made.image)]
    subprocess.run([sys.executable, script, *arguments], check=True)
    return made


@pytest.fixture(name="contract", scope="session")
def _contract(generated: Generated) -> list[File]:
    return read_image(generated.image)
