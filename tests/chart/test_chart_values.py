"""Values: the same for every service, each of use, each declared."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.chart.parts.rendered import BLOCKS, CHART, MINIMAL, STATEFUL, ChartRefused, HelmLibrary, Values, at, merged

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = yaml.safe_load((CHART / "values.schema.yaml").read_text())
ONE_FOR_ALL = "service"
"""In a path: the block of every service."""
SPECIAL: dict[str, object] = {
    "global.imagePullSecrets": [{"name": "other"}],
    "nats.url": "nats://other:4333",
    "nats.mqttUrl": "mqtt://other:1999",
    "settings.log_format": "console",
    "service.settings": {"log_level": "debug"},
    "service.image.digest": f"sha256:{'1' * 64}",
    "service.image.pullPolicy": "Always",
    "nats.embedded.storage": "7Gi",
    "postgres.embedded.storage": "7Gi",
    "nats.embedded.image.digest": f"sha256:{'1' * 64}",
    "postgres.embedded.image.digest": f"sha256:{'1' * 64}",
    "nats.embedded.image.pullPolicy": "Always",
    "postgres.embedded.image.pullPolicy": "Always",
    "streams.image.digest": f"sha256:{'1' * 64}",
    "streams.image.pullPolicy": "Always",
    "service.pdb.maxUnavailable": "2",
    "service.pdb.minAvailable": "1",
    "service.affinity": {"nodeAffinity": {}},
    "rsmp.type": "NodePort",
}
"""Another value of what has a form of its own."""
ONLY_DEPLOYMENTS = ("service.replicas", "service.autoscaling.", "service.pdb.")
"""Kept in every block so that blocks are alike; what has one partition is refused more pods, and needs no budget."""
SCALED = ("service.autoscaling.min", "service.autoscaling.max", "service.autoscaling.targetCPU")


def _leaves(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value and key not in {"requests", "limits"}:
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


MATTERS_WITH: dict[str, Values] = {
    r"rsmp\.": at("actuation.settings.rsmp_address", "0.0.0.0:12111"),
    r"nats\.embedded\.(?!enabled)": at("nats.embedded.enabled", True),
    r"postgres\.embedded\.(?!enabled)": at("postgres.embedded.enabled", True),
    r"observability\.dashboards\.labels": at("observability.dashboards.enabled", True),
}
"""Without which values at a path (a pattern of its beginning) change nothing."""
ELSEWHERE = re.compile(
    r"service\.serviceMonitor\.(interval|labels)|service\.autoscaling\.lag\..+|nats\.(monitoringE|acc).+|certManager\.(i|t).+"
    r"|observability\.rules\.labels"
)
"""Rendered only where the Prometheus operator, KEDA or cert-manager runs, and tested there."""
OF_THE_CHART = {
    path: value
    for path, value in _leaves({key: value for key, value in VALUES.items() if key not in BLOCKS})
    if not ELSEWHERE.fullmatch(path)
}
OF_A_SERVICE = {
    path: value for path, value in _leaves({ONE_FOR_ALL: VALUES["ingest"]}) if not ELSEWHERE.fullmatch(path)
}


def test_blocks_have_identical_keys() -> None:
    """Who knows one service's values knows all six."""
    shapes = {key: _shape(VALUES[key]) for key in BLOCKS}

    assert all(shape == shapes["ingest"] for shape in shapes.values())


def test_every_key_is_described() -> None:
    """The prose in front of the blocks, or above a key, names every key of a block."""
    text = (CHART / "values.yaml").read_text()
    prose = "\n".join(line for line in text.splitlines() if line.startswith("# "))

    assert [key for key in VALUES["ingest"] if not re.search(rf"^#.*\b{key}\b", prose, re.MULTILINE)] == []


@pytest.mark.parametrize("path", OF_THE_CHART)
def test_every_value_is_used(library: HelmLibrary, path: str) -> None:
    """Another value renders something else, or is refused by a sentence."""
    base = next((values for before, values in MATTERS_WITH.items() if re.match(before, path)), MINIMAL)
    changed = at(path, _other(path, OF_THE_CHART[path]))

    assert _outcome(library, base) != _outcome(library, merged(base, changed))


@pytest.mark.parametrize("path", OF_A_SERVICE)
def test_every_value_of_a_service_is_used_by_each(library: HelmLibrary, path: str) -> None:
    """Another value in every block changes what belongs to every service, or is refused by a sentence."""
    keys = [key for key in BLOCKS if key not in STATEFUL or not path.startswith(ONLY_DEPLOYMENTS)]
    base = merged(MINIMAL, *(_for_each(keys, each, value) for each, value in _needed(path).items()))
    changed = merged(base, _for_each(keys, path, _other(path, OF_A_SERVICE[path])))
    before, after = _outcome(library, base), _outcome(library, changed)
    if isinstance(before, str) or isinstance(after, str):
        assert before != after
        return
    for key in keys:
        assert _of_service(before, key) != _of_service(after, key), key


def test_every_used_value_is_declared() -> None:
    """What the templates ask for is in values.yaml; a typing mistake in a template would be silence."""
    templates = [path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file()]
    used = {name for text in templates for name in re.findall(r"\.Values\.([A-Za-z]+(?:\.[A-Za-z]+)*)", text)}
    used_of_a_block = {
        name for text in templates for name in re.findall(r"\$values\.([A-Za-z]+(?:\.[A-Za-z]+)*)", text)
    }

    assert [path for path in used if not _declared(VALUES, path)] == []
    assert [path for path in used_of_a_block if not _declared(VALUES["ingest"], path)] == []
    assert {"nats.url", "streams.image"} <= used
    assert {"resources", "networkPolicy.allowFrom"} <= used_of_a_block


def test_every_value_has_a_form() -> None:
    """The schema knows each key of values.yaml, and no other."""
    assert SCHEMA["properties"].keys() == VALUES.keys()
    assert SCHEMA["$defs"]["service"]["properties"].keys() == VALUES["ingest"].keys()
    for block, part in SCHEMA["$defs"]["service"]["properties"].items():
        if "properties" in part:
            assert part["properties"].keys() == VALUES["ingest"][block].keys()


@pytest.mark.parametrize("path", ["ingest.replica", "image", "ingest.pdb.min", "streams.image.repository"])
def test_an_unknown_value_is_refused(library: HelmLibrary, path: str) -> None:
    """A typing mistake never becomes a default."""
    with pytest.raises(ChartRefused, match="not allowed"):
        library.render(merged(MINIMAL, at(path, 1)))


def _outcome(library: HelmLibrary, values: Values) -> dict[str, str] | str:
    """Return what is rendered, or the sentence of a requirement; values of a wrong form are a mistake of the test."""
    try:
        return library.texts(values)
    except ChartRefused as refused:
        if "templates/requirements.yaml" not in str(refused):
            raise
        return str(refused)


def _needed(path: str) -> dict[str, Any]:
    """Return what must be told for the value at a path to matter."""
    if path in SCALED:
        return {"service.autoscaling.enabled": True}
    if path == "service.pdb.minAvailable":
        return {"service.replicas": 3, "service.pdb.maxUnavailable": ""}
    return {"service.replicas": 3} if path.startswith("service.pdb.") else {}


def _for_each(keys: list[str], path: str, value: object) -> dict[str, Any]:
    return merged(*(at(path.replace(ONE_FOR_ALL, key, 1), value) for key in keys))


def _of_service(texts: dict[str, str], key: str) -> dict[str, str]:
    """Return what the templates in a service's folder rendered to."""
    return {name: text for name, text in texts.items() if f"/templates/{BLOCKS[key]}/" in name}


def _other(path: str, value: object) -> object:
    """Return another value of the same form."""
    if path in SPECIAL:
        return SPECIAL[path]
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return f"{value}x"
        case list():
            return [{"key": "other"}]
        case dict() if path.endswith((".requests", ".limits")):
            return {"memory": "1Gi"}
        case _:
            return {"other": "other"}


def _shape(values: object) -> object:
    """Return the keys, down to where users put their own."""
    if not isinstance(values, dict):
        return None
    return {key: _shape(value) for key, value in values.items() if key != "settings"}


def _declared(values: object, path: str) -> bool:
    """Whether the path leads somewhere; below an empty map anything may be asked for."""
    for key in path.split("."):
        if not isinstance(values, dict) or key not in values:
            return values == {}
        values = values[key]
    return True
