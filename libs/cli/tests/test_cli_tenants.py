"""``maasloop tenants``: declared before a start, and refused where two would have the same districts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(name="tenants")
def _tenants(maasloop: Any, tmp_path: Path) -> Callable[..., Any]:
    return lambda *arguments: maasloop("--root", str(tmp_path), "tenants", *arguments)


def test_tenants_are_declared_one_after_the_other(tenants: Callable[..., Any], tmp_path: Path) -> None:
    """The city has every district until it names its own; then others may be beside it."""
    assert json.loads(tenants("list", "--json").out) == [{"tenant": "city", "districts": []}]
    refused = tenants("set", "buren", "--district", "haven")
    assert refused.status == 1
    assert "each names its districts" in refused.error

    assert tenants("set", "city", "--district", "noord", "--district", "zuid").status == 0
    assert tenants("set", "buren", "--district", "haven").status == 0
    assert tenants("set", "kade", "--district", "noord").status == 1

    found = json.loads(tenants("list", "--json").out)
    assert found == [{"tenant": "city", "districts": ["noord", "zuid"]}, {"tenant": "buren", "districts": ["haven"]}]
    (file,) = (tmp_path / ".maasloop").rglob("tenants.json")
    assert file.stat().st_mode & 0o777 == 0o600
