"""A checkout for tests of the stack."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from maasloop.testing.providers import scratch_directory


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A directory that looks like a checkout and that every account can reach."""
    with scratch_directory() as directory:
        (directory / "uv.lock").write_text("")
        yield directory
