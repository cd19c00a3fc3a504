"""What lets people and programs in: files that pods see, settings that name them, ways to the provider."""

from typing import Any

import pytest
from tests.chart.parts.rendered import (
    BLOCKS,
    MINIMAL,
    HelmLibrary,
    Object,
    at,
    merged,
    of_kind,
    pod_templates,
    settings_file,
)

from maasloop.core.clock import SystemClock
from maasloop.stack.cluster_secrets import Release, cluster_secrets

ISSUER = "https://login.city.example:8443/realms/city"
TOLD = merged(
    at("access", {"tokensSecret": "tokens", "grantsConfigMap": "grants", "providerCaConfigMap": "authority"}),
    at("settings.access", {"provider_issuer": ISSUER, "groups_claim": "teams"}),
    at("consent.settings.access.groups_claim", "roles"),
)
REGISTRY = "device-registry"


@pytest.fixture(name="told", scope="module")
def _told(library: HelmLibrary) -> list[Object]:
    return library.render(merged(MINIMAL, TOLD))


@pytest.mark.parametrize("service", BLOCKS.values())
def test_settings_name_files_that_are_mounted(told: list[Object], service: str) -> None:
    """Each file of access that a service is told of is one that its pod sees."""
    settings = settings_file(told, service)
    named = {value for name, value in settings["access"].items() if name.endswith("_file")}
    if "token_signing_key_file" in settings:
        named.add(settings["token_signing_key_file"])

    assert {
        "/run/maasloop/tokens/keys.json",
        "/run/maasloop/grants/grants.toml",
        "/run/maasloop/provider/ca.crt",
    } <= named
    assert named <= _seen(_pod(told, service))


def test_only_the_registry_sees_what_signs(told: list[Object]) -> None:
    """The private key of tokens is in one pod, and only there do settings name it."""
    key = "/run/maasloop/tokens/signing-key.json"

    assert [service for service in BLOCKS.values() if key in _seen(_pod(told, service))] == [REGISTRY]
    assert [each for each in BLOCKS.values() if "token_signing_key_file" in settings_file(told, each)] == [REGISTRY]


def test_what_a_service_is_told_stands_above_what_all_are_told(told: list[Object]) -> None:
    """One word of access of its own leaves the others as they are."""
    own, other = settings_file(told, "consent")["access"], settings_file(told, "ingest")["access"]

    assert own == {**other, "groups_claim": "roles"}
    assert other["groups_claim"] == "teams"
    assert other["provider_issuer"] == ISSUER


@pytest.mark.parametrize(("issuer", "port"), [(ISSUER, 8443), ("https://login.city.example", 443)])
def test_pods_reach_the_provider(library: HelmLibrary, issuer: str, port: int) -> None:
    """The network policy of each service lets it read the provider's keys."""
    before = library.render(MINIMAL)
    after = library.render(merged(MINIMAL, at("settings.access.provider_issuer", issuer)))
    for service in BLOCKS.values():
        more = [each for each in _egress(after, service) if each not in _egress(before, service)]
        already = {"ports": [{"port": port}]} in _egress(before, service)
        assert more == [] if already else more == [{"ports": [{"port": port}]}], service


def test_without_a_name_nothing_is_mounted(library: HelmLibrary) -> None:
    """Who lets in neither people nor programs has no volume and no setting of them."""
    objects = library.render(MINIMAL)

    assert not any("access" in settings_file(objects, service) for service in BLOCKS.values())
    assert not {"tokens", "grants", "provider"} & {each["name"] for each in _pod(objects, REGISTRY)["volumes"]}


def test_cluster_secrets_makes_the_keys(told: list[Object], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The Secret of tokens has each key that a pod takes out of it."""
    made = cluster_secrets(tmp_path_factory.mktemp("secrets"), Release(), SystemClock())["maasloop-tokens"]
    (taken,) = (each["secret"]["items"] for each in _pod(told, REGISTRY)["volumes"] if each["name"] == "tokens")

    assert made.keys() == {each["key"] for each in taken}


def _pod(objects: list[Object], service: str) -> dict[str, Any]:
    (pod,) = (
        each["spec"]
        for name, each in pod_templates(objects).items()
        if name.split()[0] in {"Deployment", "StatefulSet"} and name.endswith(f"-{service}")
    )
    return dict(pod)


def _seen(pod: dict[str, Any]) -> set[str]:
    """Return the paths of files of access that a pod sees; a ConfigMap is the user's, with the file that prose names."""
    (container,) = pod["containers"]
    folders = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    seen = {f"{folders['grants']}/grants.toml"} | {f"{folders['provider']}/ca.crt"} if "grants" in folders else set()
    for volume in pod["volumes"]:
        for item in volume.get("secret", {}).get("items", []):
            seen.add(f"{folders[volume['name']]}/{item['path']}")
    return seen


def _egress(objects: list[Object], service: str) -> list[dict[str, Any]]:
    return list(of_kind(objects, "NetworkPolicy")[service]["spec"]["egress"])
