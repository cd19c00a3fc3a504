"""Generates what ``make proto`` would write, into another folder."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Generated:
    """What ``make proto`` would write."""

    stubs: Path
    reasons: Path
    image: Path


def generate(folder: Path) -> Generated:
    """Run the generator of the checkout."""
    made = Generated(folder / "stubs", folder / "reasons.py", folder / "image.binpb")
    script = str(ROOT / "scripts" / "generate_protos.py")
    arguments = ["--out", str(made.stubs), "--reasons", str(made.reasons), "--image", str(made.image)]
    subprocess.run([sys.executable, script, *arguments], check=True)
    return made
