"""The allow-list of calls between services: ``callers.toml``, read once."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files


@cache
def calls_of_services() -> Mapping[str, frozenset[str]]:
    """Return, by service, the methods it may call, as ``/package.Service/Method``."""
    text = files(__package__).joinpath("callers.toml").read_text(encoding="utf-8")
    return {service: frozenset(f"/{call}" for call in entry["calls"]) for service, entry in tomllib.loads(text).items()}


def may_call(service: str, method: str) -> bool:
    """Tell whether a service may call a method (``/package.Service/Method``)."""
    return method in calls_of_services().get(service, frozenset())
