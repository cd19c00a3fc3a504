"""Writes ``settings.md`` and a JSON schema a service, from the settings classes."""

import importlib
import json
from collections.abc import Iterator
from typing import Any

from generators.pages import code, page, section, table
from maasloop.runtime.settings import ServiceSettings, environment_prefix

SERVICES = ("ingest", "device-registry", "timeseries", "actuation", "notification", "consent")

_INTRODUCTION = """
A setting comes from the environment, or else from a file (YAML, JSON or TOML) that `--settings` or the variable
`MAASLOOP_<SERVICE>__SETTINGS_FILE` names. An unknown key is an error. The JSON schema of each file lies beside this
page; keys of a nested object are separated by `__` in the environment.
"""


def settings_class(service: str) -> type[ServiceSettings]:
    """Return the settings class of a service."""
    module = importlib.import_module(f"maasloop.{service.replace('-', '_')}.settings")
    classes = (each for each in vars(module).values() if isinstance(each, type) and issubclass(each, ServiceSettings))
    return next(each for each in classes if each.service == service)


def settings_page() -> str:
    """Return the page."""
    sections = [section(service, settings_table(service, settings_class(service))) for service in SERVICES]
    return page("Settings", "`settings.py` of each service", _INTRODUCTION, *sections)


def settings_schemas() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each schema."""
    for service in SERVICES:
        schema = json.dumps(_schema(settings_class(service)), indent=2)
        yield f"settings/{service}.schema.json", f"{schema}\n"


def _schema(settings: type[ServiceSettings]) -> dict[str, Any]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **settings.model_json_schema()}


def settings_table(service: str, settings: type[ServiceSettings]) -> str:
    """Return one row a setting."""
    schema = settings.model_json_schema()
    rows = _rows(environment_prefix(service), schema, schema.get("$defs", {}))
    return table(("variable", "type", "default", "meaning"), rows)


def _rows(prefix: str, schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        resolved = definitions.get(field.get("$ref", "").rpartition("/")[2], {}) | field
        variable = prefix + name.upper()
        if "properties" in resolved:
            yield from _rows(f"{variable}__", resolved, definitions)
        else:
            default = "required" if name in required else code(json.dumps(field.get("default")))
            yield code(variable), _type(resolved, definitions), default, field.get("description", "")


def _type(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return the type of a field with its bounds, as people write them."""
    if "anyOf" in field:
        return " or ".join(_type(each, definitions) for each in field["anyOf"])
    field = definitions.get(field.get("$ref", "").rpartition("/")[2], {}) | field
    if "enum" in field:
        return ", ".join(code(str(value)) for value in field["enum"])
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    bounds = [f"{sign} {field[key]:g}" for key, sign in signs.items() if key in field]
    secret = ["secret"] if field.get("writeOnly") else []
    return ", ".join([str(field.get("type", "any")), *secret, *bounds])
