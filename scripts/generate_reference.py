"""Generate ``docs/reference/`` from the contracts, the registry of subjects, the settings, the limits and the metrics."""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from generators.descriptors import File, read_image
from generators.pages import MARK
from generators.reference_asyncapi import asyncapi_text
from generators.reference_limits import limits_page
from generators.reference_metrics import metrics_page
from generators.reference_permissions import permissions_page
from generators.reference_protos import proto_page
from generators.reference_reasons import error_reasons_page
from generators.reference_rights import rights_page
from generators.reference_settings import settings_page, settings_schemas
from generators.reference_subjects import subjects_page

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"


def main() -> None:
    """Write the pages into ``--out``, and remove what nothing writes any more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REFERENCE, help="folder of the pages")
    arguments = parser.parse_args()
    made = pages()
    for name, text in made.items():
        path = arguments.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name in generated_names(arguments.out) - made.keys():
        (arguments.out / name).unlink()


def generated_names(folder: Path) -> set[str]:
    """Return the files of a folder that were generated; pages written by hand lie beside them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    made = [path for path in files if path.suffix == ".json" or MARK in path.read_text()]
    return {path.relative_to(folder).as_posix() for path in made}


def pages() -> dict[str, str]:
    """Return the text of each page by its name."""
    files = _contracts()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return {
        "subjects.md": subjects_page(),
        "nats-rights.md": rights_page(),
        "asyncapi.yaml": asyncapi_text(version),
        "proto.md": proto_page(files),
        "permissions.md": permissions_page(files),
        "error-reasons.md": error_reasons_page(files),
        "settings.md": settings_page(),
        **dict(settings_schemas()),
        "limits.md": limits_page(ROOT),
        "metrics.md": metrics_page(ROOT),
    }


def _contracts() -> list[File]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        script = str(ROOT / "scripts" / "generate_protos.py")
        outputs = ["--out", scratch, "--reasons", str(folder / "reasons.py"), "--image", str(folder / "image")]
        subprocess.run([sys.executable, script, *outputs], check=True)
        return read_image(folder / "image")


if __name__ == "__main__":
    main()
