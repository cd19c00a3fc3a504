"""The pages about flows name files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOWS = sorted((ROOT / "docs" / "flows").glob("*.md"))
NAMED = re.compile(r"`([a-z-]+): ([a-z_/]+\.py)`")
FILES_NAMED_MIN = 10


@pytest.mark.parametrize("page", FLOWS, ids=lambda page: page.stem)
def test_every_file_named_in_a_flow_exists(page: Path) -> None:
    """A flow that names a file which was moved is found here, and a flow names the files of its steps."""
    named = NAMED.findall(page.read_text(encoding="utf-8"))
    missing = [
        f"{service}: {file}"
        for service, file in named
        if not (ROOT / "services" / service / "src" / "maasloop" / service.replace("-", "_") / file).is_file()
    ]

    assert len(named) >= FILES_NAMED_MIN
    assert not missing
