"""The steps of a run on a cluster, as commands; nothing here runs anything.

Everything is in a namespace of the run's own, which enforces the restricted pod security standard. The cluster needs no
registry, no load balancer and no enforcement of network policies; only an API server, and a way to bring images.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
REGISTRY = "localhost"
"""In front of the names that `make images` gives, and so of those that a loader puts on the node."""
QUICK_S = 60
LOADER_TIMEOUT_S = 600
INSTALL_TIMEOUT_S = 900
TEST_TIMEOUT_S = 300
ROLLOUT_TIMEOUT_S = 300
REMOVAL_TIMEOUT_S = 300
MARGIN_S = 30
"""What a command gets above the time-out that it was told, so that its own sentence comes first."""
LOAD = "maasloop-load"
LOAD_S = 480
LOAD_ENDS_S = 300
"""Longest wait for the counting of what the load sent."""
READINGS_PER_S = 2_000
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
    registry: str = REGISTRY
    """In front of image names."""
    loader: str = ""
    """Line for sh that brings an image: ``{image}`` in it is its name, which else comes last; empty = they are there."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command, and what it is fed."""

    what: str
    command: Sequence[str]
    manifests: Sequence[Mapping[str, object]] = field(default=())
    """Given to the command as JSON."""
    tolerated: bool = False
    """Whether it may fail: what it takes away may not be there."""
    silent: bool = False
    """Whether it fails when it prints anything."""
    timeout_s: int = QUICK_S
    next_step: str = ""
    """What to look at when it fails."""


def steps(cluster: Cluster, secrets: Sequence[Mapping[str, object]], load: Mapping[str, object]) -> Iterator[Step]:
    """Yield the whole run but its end, which is ``removal``."""
    yield from _prepared(cluster, secrets)
    yield _helm(cluster, "install", "install", *_values(cluster), *_waiting(), next_step=PULLED)
    yield _helm_test(cluster, "helm test")
    yield from _under_load(cluster, load)
    yield _helm_test(cluster, "helm test again")


def _prepared(cluster: Cluster, secrets: Sequence[Mapping[str, object]]) -> Iterator[Step]:
    server = "is KUBECONFIG the cluster's, and does its API server run?"
    yield Step("the API server answers", _kubectl(cluster, "get", "--raw", "/readyz", whole=True), next_step=server)
    ready = ("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={QUICK_S}s")
    yield Step("every node is ready", _kubectl(cluster, *ready, whole=True), timeout_s=QUICK_S + MARGIN_S)
    yield from images(cluster)
    yield Step("a namespace", _kubectl(cluster, "create", "namespace", cluster.namespace, whole=True))
    label = "pod-security.kubernetes.io/enforce=restricted"
    yield Step("it is restricted", _kubectl(cluster, "label", "namespace", cluster.namespace, label, whole=True))
    yield Step("secrets", _kubectl(cluster, "apply", "--filename", "-"), manifests=secrets)


def images(cluster: Cluster) -> Iterator[Step]:
    """Yield what brings every image, where there is a way to."""
    for image in IMAGES if cluster.loader else ():
        loaded = "IMAGE_LOADER is a line for sh; {image} in it, or else its last word, is the name of the image"
        line = _loader(cluster, image)
        yield Step(f"{image} is brought", ("sh", "-c", line), timeout_s=LOADER_TIMEOUT_S, next_step=loaded)


def _under_load(cluster: Cluster, load: Mapping[str, object]) -> Iterator[Step]:
    yield Step("load", _kubectl(cluster, "apply", "--filename", "-"), manifests=[load])
    runs = _kubectl(cluster, "wait", "--for=jsonpath={.status.ready}=1", f"job/{LOAD}", f"--timeout={QUICK_S}s")
    yield Step("the load runs", runs, timeout_s=QUICK_S + MARGIN_S)
    changed = (*_values(cluster), *ANOTHER)
    yield _helm(cluster, "upgrade under load", "upgrade", *changed, *_waiting())
    for pod in KILLED:
        yield Step(f"kill {pod}", _kill(cluster, pod))
        yield Step(f"{pod} is back", _rollout(cluster, _workload(pod)), timeout_s=ROLLOUT_TIMEOUT_S + MARGIN_S)
    for partitions in (PARTITIONS, 1):
        what = f"timeseries has {partitions} partition{'s' if partitions > 1 else ''}"
        scaled = ("--set", f"timeseries.replicas={partitions}")
        yield _helm(cluster, what, "upgrade", *changed, *scaled, *_waiting())
    yield _helm(cluster, "rollback", "rollback", "1", *_waiting(), chart=False)
    ends_s = LOAD_S + LOAD_ENDS_S
    ended = _kubectl(cluster, "wait", "--for=jsonpath={.status.ready}=0", f"job/{LOAD}", f"--timeout={ends_s}s")
    yield Step("the load ends", ended, timeout_s=ends_s + MARGIN_S)
    done = _kubectl(cluster, "wait", "--for=condition=complete", f"job/{LOAD}", f"--timeout={QUICK_S}s")
    counted = f"the log of job {LOAD} says what was acknowledged and what is stored, and which commands have no outcome"
    yield Step("the load lost nothing", done, timeout_s=QUICK_S + MARGIN_S, next_step=counted)


PULLED = (
    "pods and events are above; ErrImagePull means that the node has no image of that name, so look at what IMAGE_LOADER"
    " calls it (images of `make images` are localhost/…), or name another REGISTRY"
)
ANOTHER = ("--set", "settings.log_level=info")
"""Another setting, so that an upgrade replaces every pod."""


def removal(cluster: Cluster) -> Iterator[Step]:
    """Yield what leaves nothing behind; works after any step."""
    uninstalled = ("uninstall", "--ignore-not-found", "--wait", "--timeout", f"{REMOVAL_TIMEOUT_S}s")
    yield replace(_helm(cluster, "uninstall", *uninstalled, chart=False), tolerated=True)
    gone = ("delete", "namespace", cluster.namespace, "--ignore-not-found", "--wait", f"--timeout={REMOVAL_TIMEOUT_S}s")
    removed = _kubectl(cluster, *gone, whole=True)
    yield Step("the namespace is gone", removed, timeout_s=REMOVAL_TIMEOUT_S + MARGIN_S)
    left = ("get", "namespace", cluster.namespace, "--ignore-not-found", "--output=name")
    yield Step("nothing is left", _kubectl(cluster, *left, whole=True), silent=True)


def diagnosis(cluster: Cluster) -> Iterator[Step]:
    """Yield what helps to understand a step that failed."""
    yield Step("pods", _kubectl(cluster, "get", "pods,jobs", "--output=wide"), tolerated=True)
    yield Step("events", _kubectl(cluster, "get", "events", "--sort-by=.lastTimestamp"), tolerated=True)
    for part in ("app.kubernetes.io/component!=selftest", "app.kubernetes.io/component=selftest"):
        selected = ("--selector", f"app.kubernetes.io/instance={RELEASE},{part}", "--all-containers", "--tail=20")
        logs = _kubectl(cluster, "logs", *selected, "--prefix", "--max-log-requests=30")
        yield Step("logs", logs, tolerated=True)


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
    shown = ("--show-only", "templates/tests/loop.yaml")
    return _helm(cluster, "the selftest is rendered", "template", *_values(cluster), *shown)


def _values(cluster: Cluster) -> tuple[str, ...]:
    files = [part for name in ("laptop", "test") for part in ("--values", str(cluster.chart / f"values-{name}.yaml"))]
    images = [f"{key}.image.tag={cluster.tag}" for key in _IMAGE_KEYS]
    told = (f"global.imageRegistry={cluster.registry}", *images)
    return (*files, *(part for each in told for part in ("--set-string", each)))


_IMAGE_KEYS = (
    "ingest", "deviceRegistry", "timeseries", "actuation", "notification", "consent", "streams", "nats.embedded",
    "postgres.embedded",
)  # fmt: skip


def _waiting() -> tuple[str, ...]:
    return "--wait", "--wait-for-jobs", "--timeout", f"{INSTALL_TIMEOUT_S}s"


def _helm(cluster: Cluster, what: str, verb: str, *options: str, chart: bool = True, next_step: str = "") -> Step:
    place = (RELEASE, str(cluster.chart)) if chart else (RELEASE,)
    command = (str(cluster.helm), verb, *place, "--namespace", cluster.namespace, *options)
    return Step(what, command, timeout_s=INSTALL_TIMEOUT_S + MARGIN_S, next_step=next_step)


def _helm_test(cluster: Cluster, what: str) -> Step:
    options = ("--logs", "--timeout", f"{TEST_TIMEOUT_S}s")
    return replace(_helm(cluster, what, "test", *options, chart=False), timeout_s=TEST_TIMEOUT_S + MARGIN_S)


def _kubectl(cluster: Cluster, *arguments: str, whole: bool = False) -> tuple[str, ...]:
    """``whole``: of the cluster, not of the namespace."""
    place = () if whole else ("--namespace", cluster.namespace)
    return (str(cluster.kubectl), *place, *arguments)


def _loader(cluster: Cluster, image: str) -> str:
    name = f"{cluster.registry}/{image}:{cluster.tag}" if cluster.registry else f"{image}:{cluster.tag}"
    return cluster.loader.replace("{image}", name) if "{image}" in cluster.loader else f"{cluster.loader} {name}"


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


def _rollout(cluster: Cluster, workload: str) -> tuple[str, ...]:
    return _kubectl(cluster, "rollout", "status", workload, f"--timeout={ROLLOUT_TIMEOUT_S}s")
