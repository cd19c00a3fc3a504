"""The steps of a run on a cluster, as commands; nothing here runs anything.

Everything is in a namespace of the run's own, which enforces the restricted pod security standard. The cluster needs no
registry, no load balancer and no enforcement of network policies; only an API server, and a way to bring images.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maasloop.stack.servers.databases import SERVICES

RELEASE = "maasloop"
"""Its objects are called so, too, as it holds the chart's name."""
IMAGES = (
    *(f"maasloop-{service}" for service in SERVICES),
    "maasloop-cli",
    "maasloop-test-nats",
    "maasloop-test-timescaledb",
)
INSTALL_TIMEOUT = "15m"
TEST_TIMEOUT = "5m"
LOAD = "maasloop-load"
LOAD_S = 300
READINGS_PER_S = 200
PARTITIONS = 2
KILLED = ("ingest", "timeseries-0", "actuation-0", "device-registry")
"""Not the servers: in the test profile what they store ends with their pod."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where and with what."""

    helm: Path
    kubectl: Path
    chart: Path
    namespace: str
    tag: str
    kubeconfig: Path | None = None
    registry: str = ""
    """In front of image names; empty where images are brought by the loader."""
    loader: str = ""
    """Command that brings an image: ``{image}`` in it is its name, which else comes last; empty = they are there."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command, and what it is fed."""

    what: str
    command: Sequence[str]
    manifests: Sequence[Mapping[str, object]] = field(default=())
    """Given to the command as JSON."""
    tolerated: bool = False
    """Whether it may fail: what it takes away may not be there."""


def steps(cluster: Cluster, secrets: Sequence[Mapping[str, object]], load: Mapping[str, object]) -> Iterator[Step]:
    """Yield the whole run but its end, which is ``removal``."""
    yield Step("the API server answers", _kubectl(cluster, "get", "--raw", "/readyz", whole=True))
    for image in IMAGES if cluster.loader else ():
        yield Step(f"{image} is brought", _loader(cluster, image))
    yield Step("a namespace", _kubectl(cluster, "create", "namespace", cluster.namespace, whole=True))
    label = "pod-security.kubernetes.io/enforce=restricted"
    yield Step("it is restricted", _kubectl(cluster, "label", "namespace", cluster.namespace, label, whole=True))
    yield Step("secrets", _kubectl(cluster, "apply", "--filename", "-"), manifests=secrets)
    yield Step("install", _helm(cluster, "install", *_values(cluster), *_waiting()))
    yield Step("helm test", _helm_test(cluster))
    yield Step("load", _kubectl(cluster, "apply", "--filename", "-"), manifests=[load])
    yield Step("upgrade under load", _helm(cluster, "upgrade", *_values(cluster), *ANOTHER, *_waiting()))
    for pod in KILLED:
        yield Step(f"kill {pod}", _kill(cluster, pod))
        yield Step(f"{pod} is back", _rollouts(cluster, _workload(pod)))
    for partitions in (PARTITIONS, 1):
        scaled = ("--set", f"timeseries.replicas={partitions}")
        step = _helm(cluster, "upgrade", *_values(cluster), *ANOTHER, *scaled, *_waiting())
        yield Step(f"timeseries has {partitions} partitions", step)
    yield Step("rollback", _helm(cluster, "rollback", "1", "--wait", "--timeout", INSTALL_TIMEOUT, chart=False))
    done = _kubectl(cluster, "wait", "--for=condition=complete", f"job/{LOAD}", f"--timeout={LOAD_S + 120}s")
    yield Step("the load lost nothing", done)
    yield Step("helm test again", _helm_test(cluster))


ANOTHER = ("--set", "settings.log_level=info")
"""Another setting, so that an upgrade replaces every pod."""


def removal(cluster: Cluster) -> Iterator[Step]:
    """Yield what leaves nothing behind; works after any step."""
    yield Step("uninstall", _helm(cluster, "uninstall", "--wait", chart=False), tolerated=True)
    gone = _kubectl(cluster, "delete", "namespace", cluster.namespace, "--ignore-not-found", "--wait", whole=True)
    yield Step("the namespace is gone", gone)
    left = _kubectl(cluster, "get", "namespace", cluster.namespace, "--ignore-not-found", "--output=name", whole=True)
    yield Step("nothing is left", left)


def diagnosis(cluster: Cluster) -> Iterator[Step]:
    """Yield what helps to understand a step that failed."""
    yield Step("pods", _kubectl(cluster, "get", "pods,jobs", "--output=wide"), tolerated=True)
    yield Step("events", _kubectl(cluster, "get", "events", "--sort-by=.lastTimestamp"), tolerated=True)
    selected = ("--selector", f"app.kubernetes.io/instance={RELEASE}", "--all-containers", "--tail=20", "--prefix")
    yield Step("logs", _kubectl(cluster, "logs", *selected, "--max-log-requests=30"), tolerated=True)


def load_job(cluster: Cluster, selftest: Mapping[str, Any]) -> Mapping[str, object]:
    """Return a job that sends readings and counts them, made of the rendered pod of the selftest."""
    (container,) = selftest["spec"]["containers"]
    options = ("--wait", "180", "--load", str(LOAD_S), "--readings", str(READINGS_PER_S))
    spec = {**selftest["spec"], "containers": [{**container, "command": [*container["command"], *options]}]}
    labels = selftest["metadata"]["labels"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": LOAD, "namespace": cluster.namespace},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }


def rendering(cluster: Cluster) -> Step:
    """Return the command that prints the pod of the selftest."""
    command = _helm(cluster, "template", *_values(cluster), "--show-only", "templates/tests/loop.yaml")
    return Step("the selftest is rendered", command)


def _values(cluster: Cluster) -> tuple[str, ...]:
    files = [part for name in ("laptop", "test") for part in ("--values", str(cluster.chart / f"values-{name}.yaml"))]
    told = [f"global.imageRegistry={cluster.registry}"] if cluster.registry else []
    images = [f"{key}.image.tag={cluster.tag}" for key in _IMAGE_KEYS]
    return (*files, *(part for each in (*told, *images) for part in ("--set-string", each)))


_IMAGE_KEYS = (
    "ingest", "deviceRegistry", "timeseries", "actuation", "notification", "consent", "streams", "nats.embedded",
    "postgres.embedded",
)  # fmt: skip


def _waiting() -> tuple[str, ...]:
    return "--wait", "--wait-for-jobs", "--timeout", INSTALL_TIMEOUT


def _helm(cluster: Cluster, verb: str, *options: str, chart: bool = True) -> tuple[str, ...]:
    place = (RELEASE, str(cluster.chart)) if chart else (RELEASE,)
    return (str(cluster.helm), verb, *place, "--namespace", cluster.namespace, *_config(cluster), *options)


def _helm_test(cluster: Cluster) -> tuple[str, ...]:
    return _helm(cluster, "test", "--logs", "--timeout", TEST_TIMEOUT, chart=False)


def _kubectl(cluster: Cluster, *arguments: str, whole: bool = False) -> tuple[str, ...]:
    """``whole``: of the cluster, not of the namespace."""
    place = () if whole else ("--namespace", cluster.namespace)
    return (str(cluster.kubectl), *_config(cluster), *place, *arguments)


def _config(cluster: Cluster) -> tuple[str, ...]:
    return ("--kubeconfig", str(cluster.kubeconfig)) if cluster.kubeconfig else ()


def _loader(cluster: Cluster, image: str) -> tuple[str, ...]:
    name = f"{cluster.registry}/{image}:{cluster.tag}" if cluster.registry else f"{image}:{cluster.tag}"
    words = shlex.split(cluster.loader)
    if not any("{image}" in word for word in words):
        return (*words, name)
    return tuple(word.replace("{image}", name) for word in words)


def _workload(pod: str) -> str:
    name, _, ordinal = pod.rpartition("-")
    return f"statefulset/{RELEASE}-{name}" if ordinal.isdigit() else f"deployment/{RELEASE}-{pod}"


def _kill(cluster: Cluster, pod: str) -> tuple[str, ...]:
    _, _, ordinal = pod.rpartition("-")
    now = ("--grace-period=0", "--force", "--wait=false")
    if ordinal.isdigit():
        return _kubectl(cluster, "delete", "pod", f"{RELEASE}-{pod}", *now)
    selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={pod}"
    return _kubectl(cluster, "delete", "pod", "--selector", selector, *now)


def _rollouts(cluster: Cluster, workload: str) -> tuple[str, ...]:
    return _kubectl(cluster, "rollout", "status", workload, "--timeout=300s")
