"""What the local stack tells a service is what the service wants to know."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from maasloop.bus.city import City
from maasloop.core.clock import SystemClock
from maasloop.runtime.settings import ServiceSettings
from maasloop.stack.certificates import StackCertificates
from maasloop.stack.servers.databases import SERVICES
from maasloop.stack.servers.nats import NatsIdentities
from maasloop.stack.services import Neighbours, choose_addresses, module_name, service_environment, setting_name


def _settings(service: str) -> type[ServiceSettings]:
    importlib.import_module(module_name(service) + ".settings")
    return next(cls for cls in ServiceSettings.__subclasses__() if cls.service == service)


def _fields(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from (f"{name}__{inner}" for inner in _fields(field.annotation))


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_knows_every_setting_and_misses_no_address(service: str, *, secure: bool) -> None:
    """Each variable is a field of the settings, and each address without which something would be missing is given."""
    settings = _settings(service)
    addresses = choose_addresses({})
    dsns = dict.fromkeys(SERVICES, "postgresql://127.0.0.1/x")

    certificates = StackCertificates(Path("/none"), SystemClock())
    nats = NatsIdentities(City(Path("/none"), SystemClock()), certificates.files("nats"))
    identities = (nats, certificates) if secure else ()
    neighbours = Neighbours("nats://127.0.0.1:1", dsns, addresses, Path("commands.key"), *identities)
    given = service_environment(service, neighbours)

    known = {setting_name(service, field) for field in _fields(settings)}
    wanted = {
        setting_name(service, name)
        for name, field in settings.model_fields.items()
        if name.endswith("_address") and field.default
    }
    assert set(given) <= known
    assert wanted <= set(given)
