"""The site of the example sheet."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from maasloop.twin.rsmp.sheet import SiteSheet
from rsmp_site import EXAMPLE, Site


@pytest.fixture
def example() -> dict[str, Any]:
    """Return the example sheet as data."""
    found: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    return found


@pytest.fixture
def new_site(example: dict[str, Any]) -> Callable[..., Site]:
    """Return how to make a site of the example with other values of some keys."""
    return lambda **changes: Site(SiteSheet.model_validate(example | changes))


@pytest.fixture
def site(new_site: Callable[..., Site]) -> Site:
    """Return the site of the example, in control."""
    made = new_site()
    made.wait(4)
    return made
