"""Profiles: what a laptop gets in 2 GiB, what a city is asked for, and Secrets that fit what the pods look for."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.chart.parts.rendered import (
    BLOCKS,
    CHART,
    MINIMAL,
    PROFILES,
    RELEASE,
    SERVERS,
    HelmLibrary,
    Object,
    component,
    of_kind,
    pod_templates,
    settings_file,
)

from maasloop.bus.city import City
from maasloop.bus.tenants import Tenant
from maasloop.core.clock import SystemClock
from maasloop.stack.cluster_secrets import Release, Secrets, cluster_secrets

MEBIBYTES = {"Mi": 1, "Gi": 1024}
LAPTOP_MEBIBYTES = 2048
EXAMPLES = CHART / "examples"
CHECK_TIMEOUT_S = 30


@pytest.fixture(name="laptop", scope="module")
def _laptop(library: HelmLibrary) -> list[Object]:
    return library.render(PROFILES["laptop"])


@pytest.fixture(name="made", scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    return cluster_secrets(tmp_path_factory.mktemp("secrets"), Release(f"{RELEASE}-maasloop"), SystemClock())


def test_a_laptop_gets_all_in_two_gibibytes(laptop: list[Object]) -> None:
    """The limits of everything that runs at one time add up to 2 GiB at most."""
    templates = {name: each for name, each in pod_templates(laptop).items() if not name.startswith("Pod ")}
    limits = [
        _mebibytes(one["resources"]["limits"]) for each in templates.values() for one in each["spec"]["containers"]
    ]

    assert len(limits) == len(BLOCKS) + len(SERVERS) + 2
    assert sum(limits) <= LAPTOP_MEBIBYTES


def test_a_laptop_needs_nothing_from_outside(laptop: list[Object]) -> None:
    """Addresses are those of the release's own servers, and no job runs before there are any."""
    hooks = [each["metadata"].get("annotations", {}).get("helm.sh/hook") for each in laptop]
    jobs = {each["metadata"]["name"]: each["metadata"]["annotations"] for each in laptop if each["kind"] == "Job"}
    told = [settings_file(laptop, service) for service in BLOCKS.values()]

    assert {hook for hook in hooks if hook} == {"test"}
    assert {each["nats_url"] for each in told} == {f"nats://{RELEASE}-maasloop-nats:4222"}
    assert all(each["migrate_at_start"] for each in told)
    assert jobs == {
        f"{RELEASE}-maasloop-database-1": {"maasloop.io/step": "1"},
        f"{RELEASE}-maasloop-streams-1": {"maasloop.io/step": "2"},
    }


def test_secrets_hold_what_pods_look_for(laptop: list[Object], made: Secrets) -> None:
    """Each Secret that a pod names is made, with the keys that it reads and the files that its settings name."""
    for name, template in pod_templates(laptop).items():
        for secret, key in _keys_read(template["spec"]):
            assert key in made[secret] if key else secret in made, f"{name}: {secret} {key}"
    for service in BLOCKS.values():
        for setting, path in settings_file(laptop, service).items():
            found = re.fullmatch(r"/run/maasloop/(tls|nats|keys)/([a-z.-]+)", str(path))
            if found:
                assert found[2] in made[f"maasloop-{service}-{found[1]}"], setting
    assert {f"{service}.key" for service in BLOCKS.values()} <= {key for each in made.values() for key in each}


def test_who_asks_for_tenants_is_told_of_them(tmp_path: Path) -> None:
    """Where several share the services, the two readers find in their Secrets who they are; nobody else does."""
    city = City(tmp_path / "nats", SystemClock())
    city.declare([Tenant("city", ("noord",)), Tenant("buren", ("haven",))])
    made = cluster_secrets(tmp_path, Release(), SystemClock())

    told = {name: files["tenants.json"] for name, files in made.items() if "tenants.json" in files}
    assert told == dict.fromkeys(("maasloop-ingest-nats", "maasloop-timeseries-nats"), city.tenants_file.read_bytes())


def test_secrets_stay_as_they_are(tmp_path: Path) -> None:
    """A second call gives the same: nobody is locked out by it."""
    first, second = (cluster_secrets(tmp_path, Release(), SystemClock()) for _ in range(2))

    assert first == second


def test_nats_takes_its_configuration(laptop: list[Object], made: Secrets, tmp_path: Path) -> None:
    """The real server reads the ConfigMap together with the Secret, by the paths of its pod."""
    settings, secret = tmp_path / "etc" / "nats", tmp_path / "run" / "maasloop" / "nats"
    for directory in (settings, secret, tmp_path / "data" / "accounts"):
        directory.mkdir(parents=True)
    for name, content in made["maasloop-nats"].items():
        (secret / name).write_bytes(content.replace(b'"/data', f'"{tmp_path}/data'.encode()))
    text = of_kind(laptop, "ConfigMap")["nats"]["data"]["nats.conf"]
    (settings / "nats.conf").write_text(re.sub(r'"/(run|data)', rf'"{tmp_path}/\1', text))

    done = _checked(settings / "nats.conf")

    assert done.returncode == 0, done.stderr
    assert "js_api_timeout" in text
    assert "sync_interval: always" in text


def test_a_city_is_spread_over_zones(library: HelmLibrary) -> None:
    """Every service with several pods has them in several zones, its own and no others'."""
    objects = library.render(PROFILES["city"])
    workloads = of_kind(objects, "Deployment") | of_kind(objects, "StatefulSet")
    several = {name: each["spec"] for name, each in workloads.items() if each["spec"]["replicas"] > 1}

    assert several.keys() == set(BLOCKS.values()) - {"actuation"}
    for name, spec in several.items():
        zones, _ = spec["template"]["spec"]["topologySpreadConstraints"]
        assert zones["topologyKey"] == "topology.kubernetes.io/zone"
        assert zones["labelSelector"]["matchLabels"] == {"app.kubernetes.io/component": name}
    assert not [each for each in objects if component(each) in SERVERS]


def test_a_city_looks_before_it_changes_anything(library: HelmLibrary) -> None:
    """The preflight is the first job, and sees no private key of a service."""
    jobs = [each for each in library.render(PROFILES["city"]) if each["kind"] == "Job"]
    first = min(jobs, key=lambda job: int(job["metadata"]["annotations"]["helm.sh/hook-weight"]))
    volumes = first["spec"]["template"]["spec"]["volumes"]
    keys = {item["key"] for volume in volumes for item in volume.get("secret", {}).get("items", [])}

    assert component(first) == "preflight"
    assert keys == {"tls.crt", "ca.crt", "ensure.creds", "ensure-devices.creds"}
    assert all("items" in volume["secret"] for volume in volumes if "secret" in volume)
    assert {component(job) for job in jobs} == {"preflight", "migrate", "streams"}


def test_the_example_of_postgresql_has_its_form() -> None:
    """It is a Cluster as CloudNativePG takes one, and loses no commit with one server."""
    example = yaml.safe_load((EXAMPLES / "cloudnative-pg.yaml").read_text())
    jsonschema.validate(example, yaml.safe_load((EXAMPLES / "cloudnative-pg.schema.yaml").read_text()))

    assert example["spec"]["postgresql"]["synchronous"]["dataDurability"] == "required"
    assert example["metadata"]["namespace"] == "databases"


def test_what_the_example_tells_nats_is_taken(tmp_path: Path) -> None:
    """The part of the configuration that is ours is read by the real server."""
    merge: dict[str, Any] = yaml.safe_load((EXAMPLES / "nats-values.yaml").read_text())["config"]["merge"]
    include = merge.pop("$include")
    (tmp_path / "etc").mkdir()
    (tmp_path / "nats-identities").mkdir()
    (tmp_path / include.removeprefix("../")).write_text("debug: false\n")
    lines = [f"{name}: {_nats(value)}" for name, value in merge.items()]
    path = tmp_path / "etc" / "nats.conf"
    path.write_text("\n".join([*lines, f"include {include!r}"]) + "\n")

    assert _checked(path).returncode == 0


def test_without_a_profile_everything_comes_from_outside(library: HelmLibrary) -> None:
    """Servers of the chart's own are for who asks for them."""
    assert not [each for each in library.render(MINIMAL) if component(each) in SERVERS | {"database"}]


def _checked(configuration: Path) -> subprocess.CompletedProcess[str]:
    server = Path(sys.executable).parent / "nats-server"
    return subprocess.run(
        [str(server), "-t", "-c", str(configuration)],
        capture_output=True,
        text=True,
        timeout=CHECK_TIMEOUT_S,
        check=False,
    )


def _nats(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_nats(each)}" for name, each in value.items()) + "}"
    return str(value)


def _mebibytes(limits: dict[str, str]) -> int:
    return int(limits["memory"][:-2]) * MEBIBYTES[limits["memory"][-2:]]


def _keys_read(pod: Object) -> Iterator[tuple[str, str]]:
    """Yield what a pod names: a Secret and a key of it, or the whole of it."""
    for container in pod["containers"]:
        for variable in container.get("env", []):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                yield reference["name"], reference["key"]
    for volume in pod["volumes"]:
        if secret := volume.get("secret"):
            yield from [(secret["secretName"], item["key"]) for item in secret.get("items", [])] or [
                (secret["secretName"], "")
            ]
