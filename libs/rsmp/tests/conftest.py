"""The official schemas of RSMP are data of others and no part of this checkout; tests against them say so when they miss."""

import os
from pathlib import Path

import pytest

SCHEMAS = Path(__file__).resolve().parents[4] / "shared" / "data" / "rsmp" / "schemas"
NOT_RUN = "not run: the official RSMP schemas are absent, MAASLOOP_RSMP_SCHEMAS names their folder"


@pytest.fixture(scope="session")
def official_schemas() -> Path:
    """Return the folder of the schemas (``core/``, ``tlc/``): ``MAASLOOP_RSMP_SCHEMAS``, or beside the checkout."""
    folder = Path(os.environ.get("MAASLOOP_RSMP_SCHEMAS") or SCHEMAS)
    if not (folder / "core").is_dir():
        # They are not ours to commit; the end of each run tells how many tests this leaves out.
        pytest.skip(NOT_RUN)
    return folder
