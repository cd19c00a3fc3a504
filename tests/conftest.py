"""What crosses services needs servers: tests are marked by their folder, so that `make check` never starts a stack."""

from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
MARKS = {"integration": pytest.mark.integration, "e2e": pytest.mark.e2e, "containers": pytest.mark.containers}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies below ``tests/integration``, ``tests/e2e`` and ``tests/containers``."""
    for item in items:
        if folder := _marked_folder(item.path):
            item.add_marker(MARKS[folder])


@cache
def _marked_folder(path: Path) -> str | None:
    return next((folder for folder in MARKS if path.is_relative_to(ROOT / folder)), None)
