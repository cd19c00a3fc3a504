"""The chart as Helm renders it: by the library in this process, and by the real command."""

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import helm_python
import yaml

CHART = Path(__file__).resolve().parents[3] / "deploy" / "helm" / "maasloop"
RELEASE = "city"
NAMESPACE = "maas"
HELM_TIMEOUT_S = 30.0
PROMETHEUS_OPERATOR = "monitoring.coreos.com/v1"
KEDA = "keda.sh/v1alpha1"
CERT_MANAGER = "cert-manager.io/v1"
MINIMAL: Mapping[str, Any] = {}
"""The least that must be said."""
BLOCKS = {
    "ingest": "ingest",
    "deviceRegistry": "device-registry",
    "timeseries": "timeseries",
    "actuation": "actuation",
    "notification": "notification",
    "consent": "consent",
}
"""Component by key of values."""
STATEFUL = frozenset({"timeseries", "actuation"})
_SEVERITY_WARNING = 2

type Values = Mapping[str, Any]
type Object = dict[str, Any]


def _profile(*names: str) -> Values:
    """Return the values of files that stand above each other."""
    return merged(*(yaml.safe_load((CHART / f"values-{name}.yaml").read_text()) for name in names))


class ChartRefused(Exception):
    """Helm refused the values: by the schema, or by a sentence of the chart."""


class Helm(Protocol):
    """Either Helm."""

    def render(self, values: Values) -> list[Object]:
        """Return the objects, hooks among them; raises ``ChartRefused``."""
        ...

    def lint(self, values: Values) -> list[str]:
        """Return what a strict lint finds."""
        ...


class HelmLibrary:
    """Helm's own SDK, in this process."""

    def __init__(self) -> None:
        self._chart = helm_python.Chart.load(CHART)

    def render(self, values: Values) -> list[Object]:
        """Return the objects, hooks among them; raises ``ChartRefused``."""
        return list(_objects(text for name, text in self.texts(values).items() if name.endswith(".yaml")))

    def texts(self, values: Values) -> dict[str, str]:
        """Return what each template renders to, the notes too."""
        try:
            return self._chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)
        except helm_python.HelmError as error:
            raise ChartRefused(str(error)) from error

    def lint(self, values: Values) -> list[str]:
        """Return what a strict lint finds."""
        messages = helm_python.lint(CHART, dict(values), strict=True)["messages"]
        return [message["error"] for message in messages if message["severity"] >= _SEVERITY_WARNING]


@dataclass(frozen=True, slots=True)
class HelmCommand:
    """The real ``helm``."""

    binary: Path
    home: Path
    """Where it may keep what it likes."""
    api_versions: tuple[str, ...] = ()

    def render(self, values: Values) -> list[Object]:
        """Return the objects, hooks among them; raises ``ChartRefused``."""
        options = [option for version in self.api_versions for option in ("--api-versions", version)]
        done = self._run("template", RELEASE, str(CHART), "--namespace", NAMESPACE, *options, values=values)
        if done.returncode:
            raise ChartRefused(done.stderr)
        return list(_objects([done.stdout]))

    def lint(self, values: Values) -> list[str]:
        """Return what a strict lint finds."""
        done = self._run("lint", "--strict", str(CHART), values=values)
        return [done.stdout + done.stderr] if done.returncode else []

    def version(self) -> str:
        """Return the version of the command."""
        return self._run("version", "--short").stdout.strip()

    def _run(self, *arguments: str, values: Values | None = None) -> subprocess.CompletedProcess[str]:
        told = [] if values is None else ["--values", "-"]
        return subprocess.run(
            [str(self.binary), *arguments, *told],
            input=json.dumps(dict(values or {})),
            env={"PATH": os.environ["PATH"], "HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=HELM_TIMEOUT_S,
            check=False,
        )


def merged(*parts: Values) -> dict[str, Any]:
    """Return values of which later ones stand above earlier ones, as Helm takes them."""
    whole: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            below = whole.get(key)
            whole[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return whole


def at(path: str, value: object) -> dict[str, Any]:
    """Return values that hold one thing, at a path such as ``ingest.image.tag``."""
    for key in reversed(path.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


PROFILES: Mapping[str, Values] = {
    "laptop": _profile("laptop"),
    "test": _profile("laptop", "test"),
    "city": _profile("city"),
}
SERVERS = frozenset({"nats", "postgres"})
"""Components that are servers of the chart's own."""


def of_kind(objects: Iterable[Object], kind: str) -> dict[str, Object]:
    """Return the objects of a kind by component; of several of one component the last."""
    return {component(each): each for each in objects if each["kind"] == kind}


def component(rendered: Object) -> str:
    """Return what an object belongs to."""
    return str(rendered["metadata"]["labels"]["app.kubernetes.io/component"])


def pod_templates(objects: Iterable[Object]) -> dict[str, Object]:
    """Return the pod template of every object that has one, and every pod, by its kind and name."""
    return {
        f"{each['kind']} {each['metadata']['name']}": each if each["kind"] == "Pod" else each["spec"]["template"]
        for each in objects
        if each["kind"] == "Pod" or "template" in each.get("spec", {})
    }


def settings_file(objects: Iterable[Object], service: str) -> dict[str, Any]:
    """Return the settings in a service's ConfigMap."""
    found: dict[str, Any] = json.loads(of_kind(objects, "ConfigMap")[service]["data"]["settings.json"])
    return found


def _objects(texts: Iterable[str]) -> Iterator[Object]:
    for text in texts:
        yield from (each for each in yaml.safe_load_all(text) if each)
