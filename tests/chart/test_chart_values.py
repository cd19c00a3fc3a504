"""Values: the same for every service, each of use, each declared."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from rendered import BLOCKS, CHART, MINIMAL, STATEFUL, ChartRefused, HelmLibrary, Values, at, merged

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = yaml.safe_load((CHART / "values.schema.yaml").read_text())
SPECIAL = {
    "global.imagePullSecrets": [{"name": "other"}],
    "nats.url": "nats://other:4333",
    "nats.mqttUrl": "mqtt://other:1999",
    "settings.allow_insecure_bind": False,
    "settings.log_format": "console",
}
"""Another value of what has a form of its own, by path or by the end of it."""
SPECIAL_ENDS = {
    "image.digest": f"sha256:{'1' * 64}",
    "image.pullPolicy": "Always",
    "settings": {"log_level": "debug"},
    "pdb.minAvailable": "1",
    "pdb.maxUnavailable": "2",
}
BASES = (
    MINIMAL,
    merged(MINIMAL, *(at(f"{key}.replicas", 2) for key in BLOCKS if key not in STATEFUL)),
    merged(MINIMAL, *(at(f"{key}.autoscaling.enabled", True) for key in BLOCKS if key not in STATEFUL)),
    merged(MINIMAL, *(at(f"{key}.replicas", 2) for key in ("ingest", "consent")), at("ingest.pdb.maxUnavailable", "")),
)
"""A value counts as used if it changes what any of these renders."""
NEEDS_THE_OPERATOR = r"\.serviceMonitor\.(interval|labels)$"
OF_ONE_PARTITION = rf"^({'|'.join(STATEFUL)})\.(autoscaling\.|pdb\.)"
"""Kept so that the blocks are alike; autoscaling is refused there, and one pod has no budget."""


def _leaves(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value and key not in {"requests", "limits"}:
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


LEAVES = {
    path: value
    for path, value in _leaves(VALUES)
    if not re.search(NEEDS_THE_OPERATOR, path) and not re.search(OF_ONE_PARTITION, path)
}


@pytest.fixture(name="bases", scope="module")
def _bases(library: HelmLibrary) -> list[tuple[Values, object]]:
    return [(base, _outcome(library, base)) for base in BASES]


def test_blocks_have_identical_keys() -> None:
    """Who knows one service's values knows all six."""
    shapes = {key: _shape(VALUES[key]) for key in BLOCKS}

    assert all(shape == shapes["ingest"] for shape in shapes.values())


def test_every_key_is_described() -> None:
    """The prose in front of the blocks, or above a key, names every key of a block."""
    text = (CHART / "values.yaml").read_text()
    prose = "\n".join(line for line in text.splitlines() if line.startswith("# "))

    assert [key for key in VALUES["ingest"] if not re.search(rf"^#.*\b{key}\b", prose, re.MULTILINE)] == []


@pytest.mark.parametrize("path", LEAVES)
def test_every_value_is_used(library: HelmLibrary, bases: list[tuple[Values, object]], path: str) -> None:
    """Another value renders something else, or is refused by a sentence."""
    changed = at(path, _other(path, LEAVES[path]))

    assert any(outcome != _outcome(library, merged(base, changed)) for base, outcome in bases)


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


def _other(path: str, value: object) -> object:
    if path in SPECIAL:
        return SPECIAL[path]
    for end, other in SPECIAL_ENDS.items():
        if path.endswith(f".{end}"):
            return other
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
            return {"other": {"a": "b"} if path.endswith(".affinity") else "other"}


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
