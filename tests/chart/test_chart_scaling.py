"""What the chart asks of operators that a cluster may have, who stands above whom, and the door of signal controllers."""

from pathlib import Path

import jsonschema
import pytest
import yaml
from tests.chart.parts.rendered import BLOCKS, MINIMAL, STATEFUL, HelmCommand, HelmLibrary, Object, at, merged, of_kind

SCHEMAS = Path(__file__).parent / "schemas"
OF_KUBERNETES = ("v1", "apps/v1", "batch/v1", "policy/v1", "autoscaling/v2")
OF_KUBERNETES_TOO = ".k8s.io/v1"
RSMP = at("actuation.settings.rsmp_address", "0.0.0.0:12111")
RULES = at("observability.rules.enabled", True)
LAG = {"enabled": True, "stream": "FACTS", "consumer": "it", "threshold": 50}
CERTIFIED = {"enabled": True, "issuerRef": {"name": "city", "kind": "ClusterIssuer"}, "trustDomain": "city.example"}
NATS = {"nats": {"monitoringEndpoint": "nats.nats:8222", "account": "ACITY"}}


def test_every_kind_of_an_operator_has_a_schema(command_with_all: HelmCommand) -> None:
    """What Kubernetes itself does not know has the form that its operator takes; a kind without a schema fails."""
    wanted = [at(f"{key}.serviceMonitor.enabled", True) for key in BLOCKS]
    objects = command_with_all.render(
        merged(MINIMAL, *wanted, RULES, at("ingest.autoscaling.lag", LAG), NATS, at("certManager", CERTIFIED))
    )
    others = [each for each in objects if not _of_kubernetes(each)]

    assert {each["kind"] for each in others} == {path.stem for path in SCHEMAS.glob("*.yaml")}
    for each in others:
        jsonschema.validate(each, yaml.safe_load((SCHEMAS / f"{each['kind']}.yaml").read_text()))


@pytest.mark.parametrize("key", [key for key in BLOCKS if BLOCKS[key] not in STATEFUL])
def test_lag_decides_alone(command_with_all: HelmCommand, key: str) -> None:
    """With KEDA on, the number of pods is left to it, between the same bounds as by CPU."""
    objects = command_with_all.render(merged(MINIMAL, at(f"{key}.autoscaling.lag", LAG), NATS))
    ((name, scaled),) = of_kind(objects, "ScaledObject").items()

    assert name == BLOCKS[key]
    assert "replicas" not in of_kind(objects, "Deployment")[name]["spec"]
    assert of_kind(objects, "HorizontalPodAutoscaler") == {}
    assert of_kind(objects, "PodDisruptionBudget").keys() == {name}
    assert scaled["spec"]["triggers"][0]["metadata"] == {
        "natsServerMonitoringEndpoint": "nats.nats:8222",
        "account": "ACITY",
        "stream": "FACTS",
        "consumer": "it",
        "lagThreshold": "50",
    }


def test_certificates_name_services(command_with_all: HelmCommand) -> None:
    """Each service gets the one that its neighbours ask for, in the Secret that its pods mount."""
    objects = command_with_all.render(merged(MINIMAL, at("certManager", CERTIFIED)))
    certificates = of_kind(objects, "Certificate")

    assert certificates.keys() == set(BLOCKS.values())
    for name, each in certificates.items():
        assert each["spec"]["secretName"] == f"maasloop-{name}-tls"
        assert each["spec"]["uris"] == [f"spiffe://city.example/service/{name}"]
        assert each["spec"]["dnsNames"][0] == f"{name}.city.example"
        assert each["spec"]["issuerRef"] == {"name": "city", "kind": "ClusterIssuer"}


def test_actuation_stands_above_all(library: HelmLibrary) -> None:
    """Every pod of a service has a class, and that of actuation is the highest."""
    objects = library.render(MINIMAL)
    classes = {each["metadata"]["name"]: each["value"] for each in objects if each["kind"] == "PriorityClass"}
    workloads = of_kind(objects, "Deployment") | of_kind(objects, "StatefulSet")
    values = {name: classes[each["spec"]["template"]["spec"]["priorityClassName"]] for name, each in workloads.items()}

    assert values.keys() == set(BLOCKS.values())
    assert all(values["actuation"] > value for name, value in values.items() if name != "actuation")


def test_signal_controllers_reach_actuation_where_it_listens(library: HelmLibrary) -> None:
    """A port for RSMP is a service of its own and a rule for those who are named, and for nobody's pods by label."""
    controllers = [{"ipBlock": {"cidr": "10.20.0.0/16"}}]
    objects = library.render(merged(MINIMAL, RSMP, {"rsmp": {"type": "LoadBalancer", "from": controllers}}))
    (door,) = [each for each in objects if each["metadata"]["name"].endswith("-rsmp")]
    rules = of_kind(objects, "NetworkPolicy")["actuation"]["spec"]["ingress"]

    assert door["spec"]["type"] == "LoadBalancer"
    assert door["spec"]["ports"] == [{"name": "rsmp", "port": 12111, "targetPort": "rsmp", "appProtocol": "tcp"}]
    assert [rule["from"] for rule in rules if {"port": "rsmp"} in rule["ports"]] == [controllers]


def test_without_rsmp_there_is_no_such_door(library: HelmLibrary) -> None:
    """Nothing listens, nothing is exposed."""
    assert [each for each in library.render(MINIMAL) if "rsmp" in each["metadata"]["name"]] == []


def _of_kubernetes(each: Object) -> bool:
    version = each["apiVersion"]
    return version in OF_KUBERNETES or version.endswith(OF_KUBERNETES_TOO)
