"""Settings of which each differs from its default, made from the schema."""

from collections.abc import Mapping
from typing import Any

from generate_chart_schema import NEVER
from generators.reference_settings import settings_class
from maasloop.runtime.settings import ServiceSettings

LISTENER_PORT_FIRST = 7100


def other_settings(service: str) -> dict[str, Any]:
    """Return another value than the default for each setting of a service that is no secret."""
    schema = settings_class(service).model_json_schema()
    told = {
        name: _resolved(field, schema.get("$defs", {}))
        for name, field in schema["properties"].items()
        if name not in NEVER and not field.get("writeOnly")
    }
    return {name: _other(name, field, LISTENER_PORT_FIRST + at) for at, (name, field) in enumerate(told.items())}


def secrets(settings: type[ServiceSettings]) -> list[str]:
    """Return the settings of a service that are secrets."""
    return [name for name, field in settings.model_json_schema()["properties"].items() if field.get("writeOnly")]


def _resolved(field: Mapping[str, Any], parts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a field with what it refers to in its place."""
    if "$ref" not in field:
        return field
    return {**parts[field["$ref"].rpartition("/")[2]], "default": field["default"]}


def _other(name: str, field: Mapping[str, Any], port: int) -> object:
    """Return a value that a field takes and that is not its default."""
    if "anyOf" in field:
        return _other(name, field["anyOf"][0] | {"default": field["default"]}, port)
    default = field["default"]
    if field.get("type") == "object":
        texts = {key: part for key, part in field["properties"].items() if isinstance(part.get("default"), str)}
        return {**default, **{key: f"other-{part['default']}" for key, part in texts.items() if part["default"]}}
    if "enum" in field:
        return next(value for value in field["enum"] if value != default)
    match field["type"]:
        case "boolean":
            return not default
        case "integer":
            return field.get("maximum", default + 1) if field.get("maximum") != default else default - 1
        case "number":
            return default + 0.5
        case "array":
            items = field["items"]
            least = 1 if items["type"] == "integer" else 0.25
            return [least, items["maximum"]] if "maximum" in items else ["10.0.0.0/8"]
        case _:
            return _text(name, port)


def _text(name: str, port: int) -> str:
    if name == "nats_url":
        return "nats://elsewhere:4333"
    if name.endswith("_address"):
        return f"0.0.0.0:{port}"
    return "city@city.example" if name.endswith("_sender") else "http://elsewhere:4317"
