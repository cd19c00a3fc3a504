"""The translation for podman: what has no counterpart is told or refused, and order, names and secrets are kept."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.parts.rendered import CHART, NAMESPACE, RELEASE, HelmLibrary

import kube_play
from kubeplay.compose import compose, variables
from kubeplay.probes import Probe, Watched
from kubeplay.translate import NotTranslatable, Translation, manifests, translate
from maasloop.core.clock import SystemClock
from maasloop.stack.cluster_secrets import Release, cluster_secrets
from maasloop.stack.servers.databases import SERVICES

STATE = Path("/state")
LABELS = {"app.kubernetes.io/component": "ingest", "app.kubernetes.io/instance": "city"}
PROBED = {
    "name": "ingest",
    "image": "maasloop-ingest:1",
    "ports": [{"name": "health", "containerPort": 8080}],
    "livenessProbe": {"httpGet": {"path": "/live", "port": "health"}, "periodSeconds": 7, "failureThreshold": 2},
    "startupProbe": {"tcpSocket": {"port": "health"}},
    "env": [
        {"name": "DSN", "valueFrom": {"secretKeyRef": {"name": "dsn", "key": "postgres-dsn"}}},
        {
            "name": "PARTITION",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}},
        },
    ],
}
SECRET = {
    "kind": "Secret",
    "metadata": {"name": "dsn", "labels": {}},
    "data": {"postgres-dsn": base64.b64encode(b"postgresql://x").decode()},
}


def _set(**spec: object) -> dict[str, Any]:
    pod = {"securityContext": {"runAsUser": 10001, "fsGroup": 10001}, "containers": [PROBED], "volumes": []} | spec
    return {
        "kind": "StatefulSet",
        "metadata": {"name": "city-ingest", "labels": LABELS},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": LABELS}, "spec": pod}},
    }


def _job(name: str, annotations: dict[str, str]) -> dict[str, Any]:
    template = {"metadata": {"labels": {}}, "spec": {"containers": [{"name": "job", "image": "x"}]}}
    metadata = {"name": name, "labels": LABELS, "annotations": annotations}
    return {"kind": "Job", "metadata": metadata, "spec": {"template": template}}


def _translated(*objects: dict[str, Any]) -> Translation:
    return translate([*objects, SECRET], STATE)


def test_a_stateful_set_becomes_a_pod_an_ordinal() -> None:
    """Pods have the names and the ordinals that a cluster gives, and no replica is lost."""
    pods = _translated(_set()).services

    assert [pod.name for pod in pods] == ["city-ingest-0", "city-ingest-1"]
    variables = [pod.manifest["spec"]["containers"][0]["env"][1]["value"] for pod in pods]
    assert variables == ["0", "1"]


def test_a_service_becomes_a_name_on_the_network() -> None:
    """Only pods that a Service selects get its name."""
    service = {"kind": "Service", "metadata": {"name": "city-in"}, "spec": {"selector": dict([*LABELS.items()])}}
    other = {"kind": "Service", "metadata": {"name": "other"}, "spec": {"selector": {"a": "b"}}}

    assert _translated(_set(), service, other).services[0].aliases == ("city-in",)


def test_jobs_keep_their_order() -> None:
    """Hooks run by weight, plain jobs by step; a test is no job."""
    found = _translated(
        _job("streams", {"maasloop.io/step": "2"}),
        _job("database", {"maasloop.io/step": "1"}),
        _job("preflight", {"helm.sh/hook-weight": "-5", "helm.sh/hook": "pre-install"}),
        _job("loop", {"helm.sh/hook": "test"}),
    )

    assert [job.name for job in found.jobs] == ["preflight", "database", "streams"]
    assert [each.name for each in found.tests] == ["loop"]


def test_secrets_are_read_by_pods_as_the_chart_says() -> None:
    """A file of a Secret lies in a folder of that pod alone, and a variable has its value."""
    found = _translated(_set(volumes=[{"name": "keys", "secret": {"secretName": "dsn"}}]))
    spec = found.services[0].manifest["spec"]

    assert found.files[Path("files/city-ingest-0/secret-dsn/postgres-dsn")] == b"postgresql://x"
    assert spec["volumes"][0]["hostPath"]["path"] == "/state/files/city-ingest-0/secret-dsn"
    assert spec["containers"][0]["env"][0] == {"name": "DSN", "value": "postgresql://x"}
    assert spec["securityContext"] == {"runAsUser": 10001}


def test_what_is_missing_is_refused() -> None:
    """A Secret that nobody made, and a kind of volume that has no counterpart, end the translation with a sentence."""
    with pytest.raises(NotTranslatable, match="Secret other"):
        _translated(_set(volumes=[{"name": "keys", "secret": {"secretName": "other"}}]))
    with pytest.raises(NotTranslatable, match="volume disk"):
        _translated(_set(volumes=[{"name": "disk", "nfs": {}}]))


def test_what_was_changed_is_told() -> None:
    """Each kind of change is a line, once."""
    changes = _translated(_set(), {"kind": "NetworkPolicy", "metadata": {"name": "x"}}).changes

    assert "NetworkPolicy: left out, only a cluster enforces it" in changes
    assert "StatefulSet city-ingest: pod city-ingest-1" in changes
    assert len(changes) == len(set(changes))


def test_probes_are_those_of_the_chart() -> None:
    """Podman is given none; outside they have their ports, paths and periods, and Kubernetes' defaults."""
    pod = _translated(_set()).services[0]

    assert pod.probes == (Probe("startup", 8080, "", 10, 3, 1), Probe("liveness", 8080, "/live", 7, 2, 1))
    assert not [key for key in pod.manifest["spec"]["containers"][0] if "Probe" in key]


def test_a_pod_that_no_longer_answers_is_restarted() -> None:
    """Liveness counts after the start only, at its period, and failures in a row."""
    watched = Watched((Probe("startup", 1, "", 1, 3, 1), Probe("liveness", 1, "/", 10, 2, 1)))
    answers = {"startup": False, "liveness": True}

    def asked(probe: Probe, _: str) -> bool:
        return answers[probe.kind]

    assert watched.look("a", 0, asked) == ""
    answers["startup"] = True
    assert watched.look("a", 1, asked) == ""
    assert watched.ready
    answers["liveness"] = False
    assert [watched.look("a", at_s, asked) for at_s in (2, 12, 22)] == ["", "", "liveness probe failed 2 times"]


def test_the_laptop_profile_has_nothing_without_a_counterpart(library: HelmLibrary, tmp_path: Path) -> None:
    """The chart's own profile with its Secrets translates whole: servers, jobs in order, services, the loop's test."""
    objects = library.render(yaml.safe_load((CHART / "values-laptop.yaml").read_text()))
    secrets = cluster_secrets(tmp_path, Release(f"{RELEASE}-maasloop", NAMESPACE), SystemClock())
    found = translate([*objects, *manifests(secrets)], STATE)

    assert [pod.name.removeprefix(f"{RELEASE}-maasloop-") for pod in found.servers] == ["nats-0", "postgres-0"]
    assert {alias.removeprefix(f"{RELEASE}-maasloop-") for pod in found.services for alias in pod.aliases} == set(
        SERVICES
    )
    assert [job.name.split("-")[2] for job in found.jobs] == ["database", "streams"]
    assert len(found.tests) == 1


def test_compose_names_secrets_and_holds_none(library: HelmLibrary, tmp_path: Path) -> None:
    """The file for Compose may be published: passwords are in files of variables beside it."""
    objects = library.render(yaml.safe_load((CHART / "values-laptop.yaml").read_text()))
    secrets = cluster_secrets(tmp_path, Release(f"{RELEASE}-maasloop", NAMESPACE), SystemClock())
    found = translate([*objects, *manifests(secrets)], STATE)
    password = secrets["maasloop-postgres"]["password"].decode()

    assert password not in yaml.safe_dump(compose(found, STATE))
    assert any(password in content.decode() for content in variables(found).values())


def test_compose_starts_again_what_came_too_early() -> None:
    """A job is tried until it succeeded, and a service for ever."""
    services = compose(_translated(_set(), _job("streams", {})), STATE)["services"]

    assert {name: each["restart"] for name, each in services.items()} == {
        "city-ingest-0": "unless-stopped",
        "city-ingest-1": "unless-stopped",
        "streams": "on-failure",
    }


def test_the_compose_file_has_no_drift(tmp_path: Path) -> None:
    """What lies in the repository is what the chart gives (`make compose-files` says how to use it)."""
    translation = kube_play.release(CHART / "values-laptop.yaml", kube_play.COMPOSE, tmp_path)

    assert (CHART.parents[1] / "compose.yaml").read_text() == kube_play.compose_file(translation)
