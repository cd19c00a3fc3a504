"""Writes ``asyncapi.yaml``: the same subjects for tools (AsyncAPI 3.0), seen from the platform."""

from typing import Any

import yaml

from generators.pages import MARK
from generators.reference_subjects import address, device_kinds, device_mqtt_topic, device_topic
from maasloop.bus.subjects import FACTS, INGEST_RECORD, DownlinkKind, Fact, UplinkKind
from maasloop.core.ids import ID_PATTERN

_CODINGS: dict[UplinkKind | DownlinkKind, str] = {
    UplinkKind.OBSERVATIONS_SENML: "application/senml+json",
    UplinkKind.OBSERVATIONS_SENML_CBOR: "application/senml+cbor",
    UplinkKind.OBSERVATIONS_PB: "application/protobuf",
    UplinkKind.RESPONSES_PB: "application/protobuf",
    DownlinkKind.COMMANDS: "application/jose",
}
"""Media types of what devices send and receive (RFC 8428, RFC 7515); the others are JSON."""
_HEAD = f"# Generated from maasloop.bus.subjects {MARK}.\n"


def asyncapi_text(version: str) -> str:
    """Return the document."""
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Maasloop",
            "version": version,
            "description": "What a city hears, decides and does, on NATS. Bodies are protobuf: see proto.md.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/protobuf",
        "servers": {
            "nats": {"host": "localhost:4222", "protocol": "nats", "description": "Facts, requests and devices."},
            "mqtt": {"host": "localhost:1883", "protocol": "mqtt", "description": "Devices, MQTT 3.1.1."},
        },
        "channels": {**_facts(), **_devices(), "ingest_record": _door()},
        "operations": _operations(),
        "components": {
            "parameters": {"id": {"description": f"An id: `{ID_PATTERN.pattern}`."}},
            "messageTraits": {"cloudEvent": _envelope()},
        },
    }
    return _HEAD + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def _reference(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _facts() -> dict[str, Any]:
    return {_fact_id(fact): _fact(fact) for fact in FACTS}


def _fact_id(fact: Fact) -> str:
    return f"{fact.noun}_{fact.verb}_{fact.version}"


def _fact(fact: Fact) -> dict[str, Any]:
    message = {
        "name": fact.message,
        "contentType": "application/protobuf",
        "summary": fact.meaning,
        "traits": [_reference("messageTraits", "cloudEvent")],
    }
    return {
        "address": address(fact),
        "description": f"{fact.meaning} Published by {fact.publisher}.",
        "servers": [{"$ref": "#/servers/nats"}],
        "parameters": {"district": _reference("parameters", "id"), "key": {"description": f"{fact.key}."}},
        "messages": {fact.message.rpartition(".")[2]: message},
    }


def _devices() -> dict[str, Any]:
    channels: dict[str, Any] = {}
    for kind, _, text in device_kinds():
        coding = _CODINGS.get(kind, "application/json")
        for server, topic in (("nats", device_topic(kind)), ("mqtt", device_mqtt_topic(kind))):
            channels[_device_id(server, kind)] = {
                "address": topic,
                "description": text,
                "servers": [{"$ref": f"#/servers/{server}"}],
                "parameters": {name: _reference("parameters", "id") for name in ("district", "device")},
                "messages": {"body": {"contentType": coding, "summary": text}},
            }
    return channels


def _device_id(server: str, kind: str) -> str:
    return f"device_{server}_{kind.replace('-', '_')}"


def _door() -> dict[str, Any]:
    request = {"name": "maasloop.api.observation.v1.RecordObservationsRequest"}
    return {
        "address": INGEST_RECORD,
        "description": "Ingest's NATS door, answered after the broker has stored what was accepted.",
        "servers": [{"$ref": "#/servers/nats"}],
        "messages": {"request": request},
    }


def _operations() -> dict[str, Any]:
    operations = {f"publish_{_fact_id(fact)}": _operation("send", _fact_id(fact)) for fact in FACTS}
    for kind, _, _ in device_kinds():
        action = "receive" if isinstance(kind, UplinkKind) else "send"
        for server in ("nats", "mqtt"):
            channel = _device_id(server, kind)
            operations[f"{action}_{channel}"] = _operation(action, channel)
    operations["answer_ingest_record"] = _operation("receive", "ingest_record")
    return operations


def _operation(action: str, channel: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def _envelope() -> dict[str, Any]:
    names = ("ce-id", "ce-source", "ce-type", "ce-specversion", "ce-time", "ce-datacontenttype", "Nats-Msg-Id")
    properties = {name: {"type": "string"} for name in (*names, "traceparent")}
    return {"headers": {"type": "object", "required": list(names), "properties": properties}}
