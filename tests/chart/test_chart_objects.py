"""What the chart renders is right for Kubernetes, and right in itself."""

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from tests.chart.parts.rendered import (
    BLOCKS,
    CHART,
    MINIMAL,
    PROFILES,
    SERVERS,
    STATEFUL,
    Helm,
    HelmCommand,
    HelmLibrary,
    Object,
    Values,
    at,
    component,
    merged,
    of_kind,
    pod_templates,
)

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES_VERSIONS = ("1.29", "1.36", "1.37")
NAME_LENGTH_MAX = 63
SELECTOR = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
EXAMPLES: dict[str, Values] = {
    **{path.name: yaml.safe_load(path.read_text()) for path in sorted((CHART / "ci").glob("*-values.yaml"))},
    **PROFILES,
}


@pytest.fixture(name="example", params=EXAMPLES)
def _example(request: pytest.FixtureRequest) -> Values:
    return EXAMPLES[request.param]


@pytest.fixture(name="objects")
def _objects(library: HelmLibrary, example: Values) -> list[Object]:
    return library.render(example)


def test_the_command_is_a_helm_of_today(command: HelmCommand) -> None:
    """The package holds a Helm 4."""
    assert command.version().startswith("v4.")


def test_lint_finds_nothing(helm: Helm, example: Values) -> None:
    """A strict lint is silent."""
    assert helm.lint(example) == []


def test_lint_finds_sabotage(helm: Helm) -> None:
    """Lint is not silent about everything."""
    assert helm.lint({"ingest": {"replicas": "many"}}) != []


def test_both_helms_render_the_same(library: HelmLibrary, command: HelmCommand, example: Values) -> None:
    """Tests with the library speak for the command that people use."""
    assert _by_identity(library.render(example)) == _by_identity(command.render(example))


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_objects_have_the_form_of_kubernetes(objects: list[Object], version: str) -> None:
    """Each object is what the oldest and the newest Kubernetes expect, with no field that they do not know."""
    for each in objects:
        kubernetes_validate.validate(each, version, strict=True)


def test_what_a_server_merges_by_a_key_has_it_once(objects: list[Object]) -> None:
    """Helm applies on the server's side, where two entries of one name, port or path in a list are refused."""
    twice = [
        (each["metadata"]["name"], key, identity)
        for each in objects
        for key, entries in _lists(each)
        for identity, count in Counter(_merged_by(key, entry) for entry in entries).items()
        if identity and count > 1
    ]

    assert twice == []
    assert {key for each in objects for key, _ in _lists(each)} >= {"env", "ports", "volumes", "volumeMounts"}


def test_service_monitors_select_the_services(command_with_prometheus: HelmCommand) -> None:
    """Where the Prometheus operator runs, each service's metrics are found, as often and under the labels told."""
    wanted = [at(f"{key}.serviceMonitor", {"enabled": True, "interval": "7s", "labels": {"a": "b"}}) for key in BLOCKS]
    objects = command_with_prometheus.render(merged(MINIMAL, *wanted))
    monitors, services = of_kind(objects, "ServiceMonitor"), of_kind(objects, "Service")

    assert monitors.keys() == set(BLOCKS.values())
    for name, monitor in monitors.items():
        labels = services[name]["metadata"]["labels"]
        (endpoint,) = monitor["spec"]["endpoints"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert endpoint == {"port": "health", "path": "/metrics", "interval": "7s"}
        assert monitor["metadata"]["labels"]["a"] == "b"


def test_names_are_unique_and_short(library: HelmLibrary) -> None:
    """No two objects of a kind have one name, and the longest release name leaves every name legal."""
    long = merged(MINIMAL, {"fullnameOverride": "c" * NAME_LENGTH_MAX})
    for values in (MINIMAL, long):
        objects = library.render(values)
        names = [(each["kind"], each["metadata"]["name"]) for each in objects]
        assert len(names) == len(set(names))
        assert all(len(name) <= NAME_LENGTH_MAX for _, name in names)


def test_selectors_match_their_pods_and_no_others(objects: list[Object]) -> None:
    """Each workload, service, disruption budget and policy selects the pods of its component alone."""
    pods = {name: template["metadata"]["labels"] for name, template in pod_templates(objects).items()}
    for each in objects:
        selector = _selector(each)
        if selector is None:
            continue
        matched = {
            labels["app.kubernetes.io/component"] for labels in pods.values() if selector.items() <= labels.items()
        }
        assert matched == {component(each)}, each["metadata"]["name"]


def test_selectors_outlive_a_version(objects: list[Object]) -> None:
    """No selector holds what an upgrade changes: pods of the old version are still found while they are replaced."""
    for each in objects:
        selector = _selector(each)
        assert selector is None or selector.keys() == SELECTOR, each["metadata"]["name"]


def test_every_object_has_the_labels(objects: list[Object]) -> None:
    """Every object is found by the six labels that Kubernetes recommends."""
    for each in objects:
        recommended = {label for label in each["metadata"]["labels"] if label.startswith("app.kubernetes.io/")}
        assert len(recommended) == 6, each["metadata"]["name"]


def test_partitioned_services_are_stateful_sets(objects: list[Object]) -> None:
    """A writer and a controller run at most once an ordinal; the others are deployments."""
    sets, deployments = of_kind(objects, "StatefulSet"), of_kind(objects, "Deployment")

    assert sets.keys() - SERVERS == STATEFUL
    assert deployments.keys() == set(BLOCKS.values()) - STATEFUL
    for name, each in sets.items():
        service = of_kind(objects, "Service")[name]
        assert each["spec"]["serviceName"] == service["metadata"]["name"]
        assert service["spec"]["clusterIP"] == "None"


def test_each_pod_of_timeseries_writes_a_partition(library: HelmLibrary) -> None:
    """As many partitions as pods, and each pod is told the one of its ordinal; another number rolls all pods."""
    one, four = (library.render(merged(MINIMAL, at("timeseries.replicas", pods))) for pods in (1, 4))
    workloads = [of_kind(objects, "StatefulSet")["timeseries"]["spec"] for objects in (one, four)]
    told = [json.loads(of_kind(objects, "ConfigMap")["timeseries"]["data"]["settings.json"]) for objects in (one, four)]
    (container,) = workloads[1]["template"]["spec"]["containers"]
    sources = {each["name"]: each.get("valueFrom") for each in container["env"]}
    checksums = {each["template"]["metadata"]["annotations"]["maasloop.io/settings-checksum"] for each in workloads}

    assert [each["partitions"] for each in told] == [each["replicas"] for each in workloads] == [1, 4]
    assert sources["MAASLOOP_TIMESERIES__PARTITION"] == {
        "fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}
    }
    assert len(checksums) == 2


def test_ports_are_named_and_reached(objects: list[Object]) -> None:
    """Every port of a service, and of a probe, is a port that the container listens on."""
    workloads = of_kind(objects, "Deployment") | of_kind(objects, "StatefulSet")
    for name, service in ((each, of_kind(objects, "Service")[each]) for each in BLOCKS.values()):
        (container,) = workloads[name]["spec"]["template"]["spec"]["containers"]
        listening = {port["name"]: port["containerPort"] for port in container["ports"]}
        probes = {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")}

        assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == listening
        assert {probe["port"] for probe in probes.values()} == {"health"}
        assert len({probe["path"] for probe in probes.values()}) == len(probes)
        assert ("http" in listening) == (name == "ingest")


def test_autoscaling_decides_alone(library: HelmLibrary) -> None:
    """With autoscaling on, the number of pods is left to it, and a budget guards its minimum."""
    objects = library.render(merged(MINIMAL, at("consent.autoscaling.enabled", True)))

    assert "replicas" not in of_kind(objects, "Deployment")["consent"]["spec"]
    assert of_kind(objects, "HorizontalPodAutoscaler").keys() == {"consent"}
    assert of_kind(objects, "PodDisruptionBudget").keys() == {"consent"}


def test_a_single_pod_has_no_budget(library: HelmLibrary) -> None:
    """A budget for one pod would only stop nodes from being drained."""
    assert of_kind(library.render(MINIMAL), "PodDisruptionBudget") == {}


def test_the_chart_has_the_version_of_the_code() -> None:
    """The images that a chart deploys by default are those of its own commit."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["appVersion"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert "dependencies" not in chart


def test_settings_roll_the_pods(library: HelmLibrary) -> None:
    """Another setting is another pod template, of that service alone."""
    before = pod_templates(library.render(MINIMAL))
    after = pod_templates(library.render(merged(MINIMAL, at("consent.settings.log_level", "debug"))))

    assert [name for name, template in after.items() if template != before[name]] == [
        "Deployment city-maasloop-consent"
    ]


def _selector(each: Object) -> dict[str, str] | None:
    spec = each.get("spec", {})
    selector: dict[str, str] | None = None
    match each["kind"]:
        case "Deployment" | "StatefulSet" | "PodDisruptionBudget":
            selector = spec["selector"]["matchLabels"]
        case "Service":
            selector = spec["selector"]
        case "NetworkPolicy":
            selector = spec["podSelector"]["matchLabels"]
    return selector


def _lists(node: Any) -> Iterator[tuple[str, list[Object]]]:  # noqa: ANN401 - any part of an object
    """Yield the lists of entries below a part, with the key under which each stands."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            yield str(key), value
        yield from _lists(value)


def _merged_by(key: str, entry: Object) -> tuple[Any, ...] | None:
    """Return by what the server tells entries of a list apart; nothing where it takes the list as a whole."""
    if key == "ports" and (port := entry.get("containerPort")):
        return port, entry.get("protocol", "TCP")
    if key == "ports" and "targetPort" in entry:
        return entry["port"], entry.get("protocol", "TCP")
    name = {"env": "name", "volumes": "name", "containers": "name", "volumeMounts": "mountPath"}.get(key)
    return (entry[name],) if name else None


def _by_identity(objects: Iterable[Object]) -> dict[str, str]:
    return {f"{each['kind']} {each['metadata']['name']}": json.dumps(each, sort_keys=True) for each in objects}
