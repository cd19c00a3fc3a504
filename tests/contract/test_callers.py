"""The allow-list of services says what their code calls: nothing is missing and nothing more is allowed."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from google.protobuf.descriptor_pool import Default

from maasloop.api.consent.v1 import consent_service_pb2 as _consent  # noqa: F401 - registers its descriptors
from maasloop.api.device.v1 import access_service_pb2 as _access  # noqa: F401 - registers its descriptors
from maasloop.api.device.v1 import device_service_pb2 as _device  # noqa: F401 - registers its descriptors
from maasloop.api.observation.v1 import series_service_pb2 as _series  # noqa: F401 - registers its descriptors
from maasloop.identity.callers import calls_of_services
from maasloop.stack.services import NEIGHBOURS, module_name

ROOT = Path(__file__).parents[2]
FOLLOWING = ROOT / "libs/runtime/src/maasloop/runtime/following.py"
SERVERS = {
    "AccessService": "device-registry",
    "DeviceService": "device-registry",
    "ConsentService": "consent",
    "SeriesService": "timeseries",
}


def test_services_may_call_what_they_call() -> None:
    """The list of each service is exactly the set of methods that its stubs are asked for."""
    called = {service: frozenset(_calls_of(service)) for service in NEIGHBOURS}
    assert calls_of_services() == called
    assert sum(map(len, called.values())) > len(NEIGHBOURS)


def test_the_list_and_the_addresses_agree() -> None:
    """A service is told the address of exactly those neighbours that it may call."""
    listed = {
        service: {SERVERS[call.rpartition("/")[0].rpartition(".")[2]] for call in calls}
        for service, calls in calls_of_services().items()
    }
    assert listed == {service: set(neighbours) for service, neighbours in NEIGHBOURS.items()}


def test_a_call_is_seen_in_the_code() -> None:
    """A method of a stub is found where the stub is kept, where it is made, and not under another stub's name."""
    module = ast.parse(
        "from m import DeviceServiceStub\nx = DeviceServiceStub(c)\nx.GetDevice\nx.WatchConsent\nx.other"
    )
    assert list(_methods(module, _stubs(module))) == ["/maasloop.api.device.v1.DeviceService/GetDevice"]


def _calls_of(service: str) -> Iterator[str]:
    source = ROOT / "services" / service / "src" / Path(*module_name(service).split("."))
    for path in source.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from _methods(tree, _stubs(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "maasloop.runtime.following":
                yield from (call for name in node.names for call in _followed().get(name.name, ()))


def _followed() -> Mapping[str, list[str]]:
    """Return the calls of each function by which a service follows an owner."""
    tree = ast.parse(FOLLOWING.read_text(encoding="utf-8"))
    return {node.name: list(_methods(node, _stubs(tree))) for node in tree.body if isinstance(node, ast.FunctionDef)}


def _stubs(tree: ast.AST) -> dict[str, str]:
    """Return the full name of each gRPC service whose stub a module imports."""
    names = [name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names]
    short = [name.removesuffix("Stub") for name in names if name.endswith("ServiceStub")]
    packages = {
        "AccessService": "device",
        "DeviceService": "device",
        "ConsentService": "consent",
        "SeriesService": "observation",
    }
    return {name: f"maasloop.api.{packages[name]}.v1.{name}" for name in short}


def _methods(tree: ast.AST, stubs: Mapping[str, str]) -> Iterator[str]:
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for full in stubs.values():
        for method in Default().FindServiceByName(full).methods:
            if method.name in used:
                yield f"/{full}/{method.name}"
