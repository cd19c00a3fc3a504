"""Generate the chart's schema of values: its form by hand, the settings of each service from the code.

Writes ``files/settings/<service>.schema.json``, which the chart's templates read, and ``values.schema.json``, with
which Helm refuses values that the code would refuse. Secrets are taken out: values never hold one.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

from generators.reference_settings import settings_schemas

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "deploy" / "helm" / "maasloop"
SKELETON = CHART / "values.schema.yaml"
EVERY_SERVICE = "every service"
PLACEHOLDER = "settingsOf"
BY_THE_CHART = frozenset(
    {"nats_url", "nats_credentials_file", "grpc_address", "health_address", "tls_certificate_file", "tls_key_file"}
)
"""What all services have but the values of the chart give in another place, or cannot give to all alike."""

NEVER = frozenset({"insecure_on_loopback"})
"""What no pod may be told."""


def main() -> None:
    """Write the files into ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=CHART, help="folder of the chart")
    arguments = parser.parse_args()
    for name, text in chart_files().items():
        path = arguments.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def chart_files() -> dict[str, str]:
    """Return the text of each generated file by its name in the chart."""
    exported = dict(settings_schemas())
    schemas = {Path(name).name.removesuffix(".schema.json"): json.loads(text) for name, text in exported.items()}
    skeleton = yaml.safe_load(SKELETON.read_text())
    values = _filled(skeleton, {name: _without_secrets(schema) for name, schema in schemas.items()})
    return {f"files/{name}": text for name, text in exported.items()} | {
        "values.schema.json": json.dumps(values, indent=2) + "\n"
    }


def _filled(node: Any, schemas: dict[str, dict[str, Any]]) -> Any:  # noqa: ANN401 - any part of a schema
    """Return a copy in which each ``settingsOf`` is the schema that it names."""
    if isinstance(node, list):
        return [_filled(each, schemas) for each in node]
    if not isinstance(node, dict):
        return node
    if PLACEHOLDER in node:
        return _shared(schemas) if node[PLACEHOLDER] == EVERY_SERVICE else schemas[node[PLACEHOLDER]]
    return {key: _filled(each, schemas) for key, each in node.items()}


def _without_secrets(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema for values: no secrets, nothing required, references that resolve where it is put."""
    properties = {
        name: field for name, field in schema["properties"].items() if name not in NEVER and not field.get("writeOnly")
    }
    identity = {"$id": f"settings/{schema['title']}"} if "$defs" in schema else {}
    kept = {key: value for key, value in schema.items() if key not in {"$schema", "required"}}
    return identity | kept | {"properties": properties}


def _shared(schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the schema of the settings that all services have and that can be told to all at once."""
    first, *others = (schema["properties"] for schema in schemas.values())
    names = [name for name in first if name not in BY_THE_CHART | NEVER and all(name in other for other in others)]
    shared = {"type": "object", "additionalProperties": False, "properties": {name: first[name] for name in names}}
    parts = next(iter(schemas.values())).get("$defs", {})
    return shared | ({"$id": "settings/all", "$defs": parts} if parts else {})


if __name__ == "__main__":
    main()
