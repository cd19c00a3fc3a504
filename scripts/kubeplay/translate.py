"""Manifests as ``podman kube play`` runs them.

podman knows Pods. A StatefulSet or Deployment becomes its pods, a Service the name of those pods on the network, a Job a
pod that ends; hooks keep the order of their weights. Files and secrets become folders of the host that belong to the pods'
user, because podman leaves those of volumes to root and knows no ``fsGroup``; probes are taken out and polled from
outside, because podman would run them inside the image, by curl. Whatever was changed is told.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubeplay.probes import Probe, probes_of

type Object = dict[str, Any]

COMPONENT = "app.kubernetes.io/component"
INDEX = "apps.kubernetes.io/pod-index"
HOOK, WEIGHT, STEP = "helm.sh/hook", "helm.sh/hook-weight", "maasloop.io/step"
SERVERS = frozenset({"nats", "postgres"})
"""Components that everything else needs."""
WORKLOADS = frozenset({"StatefulSet", "Deployment"})
WITHOUT_MEANING = frozenset({"NetworkPolicy", "ServiceAccount", "PodDisruptionBudget", "PriorityClass"})
"""What only a cluster enforces."""
OF_A_CLUSTER = (
    "automountServiceAccountToken",
    "enableServiceLinks",
    "serviceAccountName",
    "priorityClassName",
    "topologySpreadConstraints",
    "imagePullSecrets",
)
POD_SECURITY_KEPT = ("runAsUser", "runAsGroup", "runAsNonRoot")
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


class NotTranslatable(Exception):
    """A manifest asks for something that has no counterpart here."""


@dataclass(frozen=True, slots=True)
class Played:
    """A pod for podman."""

    name: str
    aliases: tuple[str, ...]
    """What others call it on the network."""
    manifest: Object
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True)
class Translation:
    """What to start, in this order: servers, jobs one after the other, services; tests when all is ready."""

    servers: tuple[Played, ...]
    jobs: tuple[Played, ...]
    services: tuple[Played, ...]
    tests: tuple[Played, ...]
    files: Mapping[Path, bytes]
    """Content by path below the state folder; pods read it."""
    folders: frozenset[Path]
    """Folders that pods write."""
    changes: tuple[str, ...]


@dataclass(slots=True)
class _Writing:
    objects: list[Object]
    state: Path
    files: dict[Path, bytes] = field(default_factory=dict)
    folders: set[Path] = field(default_factory=set)
    changes: dict[str, None] = field(default_factory=dict)

    def changed(self, what: str) -> None:
        self.changes[what] = None

    def named(self, kind: str, name: str) -> Object:
        for each in self.objects:
            if each["kind"] == kind and each["metadata"]["name"] == name:
                return each
        message = f"{kind} {name} is named by a pod and is not there"
        raise NotTranslatable(message)


def manifests(secrets: Mapping[str, Mapping[str, bytes]]) -> list[Object]:
    """Return Secrets, content by key by name, as manifests."""
    return [
        {
            "kind": "Secret",
            "metadata": {"name": name, "labels": {}},
            "data": {key: base64.b64encode(content).decode() for key, content in files.items()},
        }
        for name, files in secrets.items()
    ]


def translate(objects: Iterable[Object], state: Path) -> Translation:
    """Translate the objects of a release and its Secrets; ``state`` is the folder for what pods read and write."""
    writing = _Writing(list(objects), state)
    servers: list[Played] = []
    services: list[Played] = []
    for each in writing.objects:
        if each["kind"] in WORKLOADS:
            where = servers if each["metadata"]["labels"].get(COMPONENT) in SERVERS else services
            where.extend(_workload(each, writing))
        elif each["kind"] in WITHOUT_MEANING:
            writing.changed(f"{each['kind']}: left out, only a cluster enforces it")
    ending = [each for each in writing.objects if each["kind"] in {"Job", "Pod"}]
    tests = [each for each in ending if "test" in _annotation(each, HOOK)]
    jobs = sorted((each for each in ending if each not in tests), key=_order)
    return Translation(
        tuple(servers),
        tuple(_ending(each, writing) for each in jobs),
        tuple(services),
        tuple(_ending(each, writing) for each in tests),
        writing.files,
        frozenset(writing.folders),
        tuple(writing.changes),
    )


def _annotation(each: Object, name: str, default: str = "") -> str:
    return str((each["metadata"].get("annotations") or {}).get(name, default))


def _order(job: Object) -> tuple[int, int, str]:
    """Hooks by weight, then plain jobs by step, then by name."""
    return int(_annotation(job, WEIGHT, "0")), int(_annotation(job, STEP, "0")), str(job["metadata"]["name"])


def _workload(each: Object, writing: _Writing) -> Iterable[Played]:
    name = str(each["metadata"]["name"])
    template = each["spec"]["template"]
    aliases = tuple(_services_of(template["metadata"]["labels"], writing))
    for alias in aliases:
        writing.changed(f"Service {alias}: the name of its pods on the network")
    count = int(each["spec"].get("replicas", 1))
    stateful = each["kind"] == "StatefulSet"
    for ordinal in range(count):
        pod_name = f"{name}-{ordinal}" if stateful or count > 1 else f"{name}-pod"
        labels = template["metadata"]["labels"] | ({INDEX: str(ordinal)} if stateful else {})
        claims = {claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])}
        yield _pod(pod_name, labels, template["spec"], aliases, writing, claims=claims, restart="Always")
        writing.changed(f"{each['kind']} {name}: pod {pod_name}")


def _services_of(labels: Mapping[str, str], writing: _Writing) -> Iterable[str]:
    for each in writing.objects:
        if each["kind"] == "Service" and each["spec"]["selector"].items() <= labels.items():
            yield str(each["metadata"]["name"])


def _ending(each: Object, writing: _Writing) -> Played:
    name = str(each["metadata"]["name"])
    template = each["spec"]["template"] if each["kind"] == "Job" else each
    writing.changed(f"{each['kind']} {name}: a pod that ends, in order of weight and step")
    labels = template["metadata"].get("labels", {})
    return _pod(name, labels, template["spec"], (), writing, claims=set(), restart="Never")


def _pod(
    name: str,
    labels: Mapping[str, str],
    spec: Object,
    aliases: tuple[str, ...],
    writing: _Writing,
    *,
    claims: set[str],
    restart: str,
) -> Played:
    volumes = [*spec.get("volumes", []), *({"name": claim, "claim": True} for claim in claims)]
    security = {key: value for key, value in spec.get("securityContext", {}).items() if key in POD_SECURITY_KEPT}
    kept = {key: value for key, value in spec.items() if key not in OF_A_CLUSTER}
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": kept
        | {
            "restartPolicy": restart,
            "hostname": name,
            "securityContext": security,
            "containers": [_container(each, labels, writing) for each in spec["containers"]],
            "volumes": [_volume(each, name, writing) for each in volumes],
        },
    }
    probes = tuple(probe for each in spec["containers"] for probe in probes_of(each))
    if probes:
        writing.changed("probes: polled from outside at their periods")
    return Played(name, aliases, manifest, probes)


def _container(container: Object, labels: Mapping[str, str], writing: _Writing) -> Object:
    kept = {key: value for key, value in container.items() if key not in PROBES}
    variables = [_variable(each, labels, writing) for each in container.get("env", [])]
    return kept | {"env": [each for each in variables if each is not None]}


def _variable(variable: Object, labels: Mapping[str, str], writing: _Writing) -> Object | None:
    source = variable.get("valueFrom")
    if source is None:
        return variable
    if "secretKeyRef" in source:
        writing.changed("variables from Secrets: their values, on podman's standard input")
        reference = source["secretKeyRef"]
        try:
            secret = writing.named("Secret", reference["name"])
        except NotTranslatable:
            if reference.get("optional"):
                return None
            raise
        return {"name": variable["name"], "value": base64.b64decode(secret["data"][reference["key"]]).decode()}
    path = str(source.get("fieldRef", {}).get("fieldPath", ""))
    if path.startswith("metadata.labels['"):
        return {"name": variable["name"], "value": labels[path.removeprefix("metadata.labels['").removesuffix("']")]}
    message = f"variable {variable['name']} comes from {', '.join(source)}"
    raise NotTranslatable(message)


def _volume(volume: Object, pod: str, writing: _Writing) -> Object:
    name = str(volume["name"])
    if "emptyDir" in volume:
        return {"name": name, "emptyDir": {}}
    if "claim" in volume:
        folder = Path("data") / pod / name
        writing.folders.add(folder)
        writing.changed("volume claims: folders of the host")
        return _host(name, writing.state / folder)
    for kind, key in (("ConfigMap", "configMap"), ("Secret", "secret")):
        if key in volume:
            writing.changed(f"{kind} volumes: folders of the host that belong to the pods' user")
            return _host(name, writing.state / _files(kind, volume[key], pod, writing))
    message = f"volume {name} of {pod} is none of emptyDir, configMap, secret and volume claim"
    raise NotTranslatable(message)


def _host(name: str, path: Path) -> Object:
    return {"name": name, "hostPath": {"path": str(path), "type": "Directory"}}


def _files(kind: str, source: Object, pod: str, writing: _Writing) -> Path:
    """Write what a volume shows; the folder is there also where an optional source is not."""
    name = str(source.get("secretName") or source["name"])
    folder = Path("files") / pod / f"{kind.lower()}-{name}"
    writing.folders.add(folder)
    try:
        held = writing.named(kind, name)
    except NotTranslatable:
        if source.get("optional"):
            return folder
        raise
    content = {key: text.encode() for key, text in (held.get("data") or {}).items()}
    if kind == "Secret":
        content = {key: base64.b64decode(text) for key, text in content.items()}
    items = source.get("items") or [{"key": key, "path": key} for key in content]
    for item in items:
        if item["key"] in content:
            writing.files[folder / item["path"]] = content[item["key"]]
    return folder
