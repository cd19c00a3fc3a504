"""Who may call whom, and what runs before: the chart tells the same flow as the code."""

from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from tests.chart.parts.rendered import (
    BLOCKS,
    MINIMAL,
    HelmLibrary,
    Object,
    at,
    component,
    merged,
    of_kind,
    pod_templates,
)

from maasloop.bus.streams import DURABLES
from maasloop.cli.main import build
from maasloop.stack.services import NEIGHBOURS, module_name

ACCESS = "maasloop.io/access-"
COMPONENT = "app.kubernetes.io/component"
NATS, POSTGRES, MQTT, GRPC = 4222, 5432, 1883, 50051
DNS = 53
SERVERS = {DNS, NATS, POSTGRES}
FLOW_PAGE = Path(__file__).resolve().parents[2] / "docs" / "flows" / "observe-to-actuate.md"
PORTS = {"NATS": NATS, "MQTT": MQTT, "PostgreSQL": POSTGRES, "mail": 25, "webhooks": 443}


@pytest.fixture(name="objects", scope="module")
def _objects(library: HelmLibrary) -> list[Object]:
    return library.render(MINIMAL)


def test_pods_may_call_their_neighbours_and_no_others(objects: list[Object]) -> None:
    """Both ends agree with the flow: the labels of the caller's pod, and the rules out of it."""
    policies, pods = of_kind(objects, "NetworkPolicy"), _labels(objects)
    for service, neighbours in NEIGHBOURS.items():
        let_in = {name for name, policy in policies.items() if _lets_in(policy, pods[service])}
        reached = {
            peer["podSelector"]["matchLabels"][COMPONENT]
            for rule in policies[service]["spec"]["egress"]
            for peer in rule.get("to", [])
        }
        assert let_in == reached == set(neighbours), service


def test_everything_not_listed_is_denied(objects: list[Object]) -> None:
    """Every pod is under a policy for both directions, and in comes only who has the label."""
    policies = of_kind(objects, "NetworkPolicy")
    assert policies.keys() == {*BLOCKS.values(), "migrate", "streams", "preflight", "selftest"}
    for name, policy in policies.items():
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        expected = [{"podSelector": {"matchLabels": {f"{ACCESS}{name}": "true"}}}]
        assert [rule["from"] for rule in policy["spec"].get("ingress", [])] == (
            [expected] if name in BLOCKS.values() else []
        )


def test_only_servers_of_the_flow_are_reached(objects: list[Object]) -> None:
    """Beyond neighbours a pod reaches names, NATS and PostgreSQL; notification mail and webhooks too."""
    beyond = {name: _open_ports(policy) for name, policy in of_kind(objects, "NetworkPolicy").items()}

    assert beyond.pop("notification") == SERVERS | {25, 443}
    assert beyond.pop("migrate") == {53, POSTGRES}
    assert beyond.pop("streams") == {53, NATS, MQTT}
    assert beyond.pop("preflight") == {53, NATS, MQTT, POSTGRES}
    assert beyond.pop("selftest") == {53, MQTT}
    assert all(ports == SERVERS for ports in beyond.values())


def test_the_page_of_the_flow_says_the_same(objects: list[Object]) -> None:
    """The table tells for every policy whom it lets its pods call, and which servers they reach."""
    lines = FLOW_PAGE.read_text().partition("## Who calls whom")[2].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][1:]
    told = {who: (_listed(calls), {PORTS[each] for each in _listed(reached)}) for who, calls, reached in cells}
    found = {
        name: (
            {
                peer["podSelector"]["matchLabels"][COMPONENT]
                for rule in policy["spec"]["egress"]
                for peer in rule.get("to", [])
            },
            _open_ports(policy) - {DNS},
        )
        for name, policy in of_kind(objects, "NetworkPolicy").items()
    }

    assert told == found


def test_policies_follow_the_settings(library: HelmLibrary) -> None:
    """Ports out are those of the addresses that the settings hold."""
    told = {
        "nats": {"url": "nats://a:4001,nats://b:4002", "peers": [{"podSelector": {}}]},
        "postgres": {"port": 6432},
        "notification": {"settings": {"smtp_port": 587, "otlp_endpoint": "http://collector:4318"}},
        "deviceRegistry": {"settings": {"grpc_address": "0.0.0.0:7777"}},
    }
    objects = library.render(merged(MINIMAL, told))
    policy = of_kind(objects, "NetworkPolicy")["notification"]
    rules = {tuple(port["port"] for port in rule["ports"]): rule.get("to") for rule in policy["spec"]["egress"]}

    assert rules[4001, 4002] == [{"podSelector": {}}]
    assert rules.keys() == {(53, 53), (4001, 4002), (6432,), (7777,), (4318,), (587,), (443,)}


def test_peers_of_values_are_let_in(library: HelmLibrary) -> None:
    """Who is named may call, and who may read metrics may do only that."""
    gateways = {"namespaceSelector": {"matchLabels": {"a": "b"}}}
    monitoring: dict[str, Any] = {"podSelector": {}}
    told = at("ingest.networkPolicy", {"allowFrom": [gateways], "metricsFrom": [monitoring]})
    policy = of_kind(library.render(merged(MINIMAL, told)), "NetworkPolicy")["ingest"]
    calls, metrics = policy["spec"]["ingress"]

    assert gateways in calls["from"]
    assert {port["port"] for port in calls["ports"]} == {"grpc", "http"}
    assert metrics == {"from": [monitoring], "ports": [{"port": "health"}]}


def test_a_neighbour_elsewhere_is_reached_by_its_port(library: HelmLibrary) -> None:
    """A service whose neighbour is not of this release is told its address and let out to it."""
    callers = [caller for caller, neighbours in NEIGHBOURS.items() if "consent" in neighbours]
    elsewhere = [at(f"{caller}.settings.consent_address", "consent.other:9999") for caller in callers]
    objects = library.render(merged(MINIMAL, at("consent.enabled", False), *elsewhere))

    assert 9999 in _open_ports(of_kind(objects, "NetworkPolicy")["ingest"])


def test_pods_start_what_exists(objects: list[Object]) -> None:
    """Commands name modules and a command line that this repository has."""
    scripts = {script.name for script in entry_points(group="console_scripts")}
    for name, template in pod_templates(objects).items():
        (container,) = template["spec"]["containers"]
        if container["command"][0] == "python":
            assert container["command"][1] == "-m"
            assert find_spec(f"{container['command'][2]}.__main__"), name
            assert container["command"][3:] == (["migrate"] if name.startswith("Job ") else [])
        else:
            assert container["command"][0] in scripts


def test_images_are_those_of_their_service(objects: list[Object]) -> None:
    """A pod of a service, and its migration, starts the module from the service's own image."""
    for service in BLOCKS.values():
        started = {
            (container["image"], container["command"][2])
            for template in pod_templates(objects).values()
            for container in template["spec"]["containers"]
            if container["command"][2:3] == [module_name(service)]
        }
        assert started == {(f"maasloop-{service}:0.1.0", module_name(service))}


def test_jobs_run_before_everything_else(objects: list[Object]) -> None:
    """A migration a service and the streams are hooks, and what they need is there before them."""
    jobs = [each for each in objects if each["kind"] == "Job"]
    policies = of_kind(objects, "NetworkPolicy")
    assert {job["metadata"]["name"].removeprefix("city-maasloop-") for job in jobs} == {
        "streams",
        "preflight",
        *(f"migrate-{service}" for service in BLOCKS.values()),
    }
    for job in jobs:
        policy = policies[component(job)]
        pod = job["spec"]["template"]["spec"]
        assert _hook(job)[0] == _hook(policy)[0] == {"pre-install", "pre-upgrade"}
        assert _hook(policy)[1] < _hook(job)[1]
        assert "serviceAccountName" not in pod
        assert all("configMap" not in volume for volume in pod["volumes"])


def test_the_streams_job_says_what_the_command_takes(library: HelmLibrary) -> None:
    """The command line knows the options of the job, which reaches both doors of NATS."""
    job = of_kind(library.render(merged(MINIMAL, {"streams": {"scale": 2.5, "replicas": 3}})), "Job")["streams"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    told = typer.testing.CliRunner().invoke(build(), [*container["command"][1:], "--help"])

    assert container["command"][1:] == ["streams", "ensure", "--scale", "2.5", "--replicas", "3"]
    assert told.exit_code == 0
    names = ("NATS_URL", "MQTT_URL", "NATS_CREDENTIALS_FILE", "NATS_DEVICES_CREDENTIALS_FILE", "NATS_CA_FILE")
    assert {variable["name"] for variable in container["env"]} == {f"MAASLOOP_CLI__{name}" for name in names}
    assert any(durable.stream.startswith("$MQTT") for durable in DURABLES)


@pytest.mark.parametrize("job", ["migrate", "streams", "preflight", "selftest"])
def test_a_job_may_be_left_out(library: HelmLibrary, job: str) -> None:
    """Who runs a job in another way switches it off, its policy with it."""
    objects = library.render(merged(MINIMAL, at(f"{job}.enabled", False)))

    assert [each for each in objects if component(each) == job] == []


def _labels(objects: list[Object]) -> dict[str, dict[str, str]]:
    labels = [template["metadata"]["labels"] for template in pod_templates(objects).values()]
    return {each[COMPONENT]: each for each in labels}


def _lets_in(policy: Object, pod: dict[str, str]) -> bool:
    """Whether a policy lets a pod with these labels call."""
    peers = [peer for rule in policy["spec"].get("ingress", []) for peer in rule["from"]]
    return any(peer["podSelector"]["matchLabels"].items() <= pod.items() for peer in peers)


def _open_ports(policy: Object) -> set[Any]:
    """Return the ports that a policy opens to every address."""
    return {port["port"] for rule in policy["spec"]["egress"] if "to" not in rule for port in rule["ports"]}


def _listed(cell: str) -> set[str]:
    return {each.strip() for each in cell.split(",") if each.strip()}


def _hook(each: Object) -> tuple[set[str], int]:
    annotations = each["metadata"]["annotations"]
    return set(annotations["helm.sh/hook"].split(",")), int(annotations["helm.sh/hook-weight"])
