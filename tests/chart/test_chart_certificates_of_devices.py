"""A city that gives devices certificates: the registry finds its authority, is asked from outside, and reaches the second server."""

import pytest
from tests.chart.parts.rendered import MINIMAL, HelmLibrary, Object, at, merged, of_kind, settings_file

REGISTRY = "device-registry"
KEYS = "/run/maasloop/keys"
OFFICE = {"ipBlock": {"cidr": "10.20.0.0/16"}}
TOLD = merged(
    at(
        "deviceRegistry.settings",
        {
            "public_grpc_address": "0.0.0.0:50052",
            "device_authority_certificate_file": f"{KEYS}/device-authority.crt",
            "device_authority_key_file": f"{KEYS}/device-authority.key",
            "certificate_nats_url": "nats://certificates.nats.svc:4223",
        },
    ),
    at("deviceRegistry.networkPolicy.allowFrom", [OFFICE]),
)


@pytest.fixture(name="told", scope="module")
def _told(library: HelmLibrary) -> list[Object]:
    return library.render(merged(MINIMAL, TOLD))


def _named(objects: list[Object], kind: str) -> Object:
    (found,) = [each for name, each in of_kind(objects, kind).items() if name.endswith(REGISTRY)]
    return found


def test_the_authority_lies_where_the_secret_is_mounted(told: list[Object]) -> None:
    """The Secret is mounted whole, in the directory that the settings name."""
    settings = settings_file(told, REGISTRY)
    assert settings["device_authority_key_file"] == f"{KEYS}/device-authority.key"
    pod = _named(told, "Deployment")["spec"]["template"]["spec"]
    (mounted,) = [each for each in pod["containers"][0]["volumeMounts"] if each["mountPath"] == KEYS]
    (volume,) = [each for each in pod["volumes"] if each["name"] == mounted["name"]]
    assert "items" not in volume["secret"]


def test_who_enrols_reaches_the_public_listener(told: list[Object]) -> None:
    """The Service has its port, and the policy lets the peers of ``allowFrom`` in there."""
    ports = {each["name"]: each["port"] for each in _named(told, "Service")["spec"]["ports"]}
    assert ports["public-grpc"] == 50052
    rules = _named(told, "NetworkPolicy")["spec"]["ingress"]
    let_in = [rule for rule in rules if OFFICE in rule.get("from", [])]
    assert any(port["port"] in {50052, "public-grpc"} for rule in let_in for port in rule["ports"])


def test_the_registry_reaches_the_second_server(told: list[Object], library: HelmLibrary) -> None:
    """Its policy has the port of that server, and has it only where there is one."""

    def reached(objects: list[Object]) -> bool:
        rules = _named(objects, "NetworkPolicy")["spec"]["egress"]
        return any(port.get("port") == 4223 for rule in rules for port in rule.get("ports", []))

    assert reached(told)
    assert not reached(library.render(MINIMAL))
