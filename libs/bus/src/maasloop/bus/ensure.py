"""Applying the declared streams and durables: run before services, again at every deployment, never in a request.

The MQTT stream is the server's own: it appears with the first MQTT connection, so one is made here. Its durable must
exist before devices connect, because without interest the server keeps nothing.
"""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog

from maasloop.core.errors import FailedPrecondition

from . import subjects
from .connection import Bus
from .streams import DURABLES, STREAMS, Durable, Stream, mqtt_stream_config
from .tenants import ALONE, Tenant

log = structlog.get_logger(__name__)

MQTT_TIMEOUT_S = 5.0
_NOT_FOUND = 404
_MQTT_CONNECT = bytes.fromhex("00044d515454 04")
"""Protocol name and level of MQTT 3.1.1."""
_MQTT_CLEAN, _MQTT_WITH_PASSWORD = 0x02, 0xC2
_MQTT_KEEP_ALIVE_S = 60
_MQTT_CLIENT = "maasloop-ensuring"
_MQTT_CONNACK_ACCEPTED = bytes.fromhex("20020000")
_MQTT_DISCONNECT = bytes.fromhex("e000")


@dataclass(frozen=True, slots=True)
class MqttDoor:
    """The listener of an account of devices, and a user in that account, where the broker has accounts."""

    bus: Bus
    token: str
    """The user's, which MQTT takes as its password."""
    authority_file: Path | None
    """Who vouches for the listener (PEM); none = no TLS."""
    tenant: Tenant = ALONE[0]
    """Whose account it is."""


async def ensure(
    bus: Bus, *, mqtt_url: str = "", door: MqttDoor | None = None, scale: float = 1.0, replicas: int = 1
) -> list[str]:
    """Create or update every stream and durable; return a line for each thing that changed.

    Without ``mqtt_url`` the MQTT door is left out; without ``door`` devices share the account of the services. Raises ``FailedPrecondition`` where the server refuses, for example
    because a stream cannot be changed in the way that is asked for.
    """
    changes = []
    for stream in STREAMS:
        changes += await _ensure_stream(bus, stream, scale, replicas)
    behind_door = bus if door is None else door.bus
    if mqtt_url:
        changes += await _ensure_mqtt(behind_door, mqtt_url, door, scale)
    for durable in DURABLES:
        if durable.stream != subjects.MQTT_STREAM:
            changes += await _ensure_durable(bus, durable)
        elif mqtt_url:
            own = durable if door is None else door.tenant.durable(durable)
            changes += await _ensure_durable(behind_door, own)
    return changes


async def _ensure_stream(bus: Bus, stream: Stream, scale: float, replicas: int) -> list[str]:
    wanted = stream.config(scale=scale, replicas=replicas)
    found = await bus.api(f"STREAM.INFO.{stream.name}")
    if _missing(found):
        _require(await bus.api(f"STREAM.CREATE.{stream.name}", wanted), f"create stream {stream.name}")
        return [f"created stream {stream.name}"]
    current = found["config"]
    if all(current.get(key, _absent(value)) == value for key, value in wanted.items()):
        return []
    _require(await bus.api(f"STREAM.UPDATE.{stream.name}", {**current, **wanted}), f"update stream {stream.name}")
    return [f"updated stream {stream.name}"]


async def _ensure_durable(bus: Bus, durable: Durable) -> list[str]:
    wanted = durable.config()
    found = await bus.api(f"CONSUMER.INFO.{durable.stream}.{durable.name}")
    missing = _missing(found)
    if not missing:
        current = found["config"]
        if all(current.get(key, _absent(value)) == value for key, value in wanted.items()):
            return []
        # The place where a durable begins is fixed at its creation.
        wanted["deliver_policy"] = current["deliver_policy"]
    body = {"stream_name": durable.stream, "config": wanted}
    answer = await bus.api(f"CONSUMER.DURABLE.CREATE.{durable.stream}.{durable.name}", body)
    _require(answer, f"apply durable {durable.name}")
    return [f"{'created' if missing else 'updated'} durable {durable.name}"]


async def _ensure_mqtt(bus: Bus, mqtt_url: str, door: MqttDoor | None, scale: float) -> list[str]:
    found = await bus.api(f"STREAM.INFO.{subjects.MQTT_STREAM}")
    if _missing(found):
        await _connect_once(mqtt_url, door)
        found = await bus.api(f"STREAM.INFO.{subjects.MQTT_STREAM}")
    _require(found, f"find stream {subjects.MQTT_STREAM}")
    wanted = mqtt_stream_config(found["config"], scale=scale)
    if wanted == found["config"]:
        return []
    answer = await bus.api(f"STREAM.UPDATE.{subjects.MQTT_STREAM}", wanted)
    _require(answer, f"bound stream {subjects.MQTT_STREAM}")
    return [f"bounded stream {subjects.MQTT_STREAM}"]


async def _connect_once(mqtt_url: str, door: MqttDoor | None) -> None:
    """Make one MQTT 3.1.1 connection, so that the server creates its streams."""
    address = urlsplit(mqtt_url)
    authority = None if door is None else door.authority_file
    context = None if authority is None else ssl.create_default_context(cafile=authority)
    async with asyncio.timeout(MQTT_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(address.hostname, address.port, ssl=context)
        try:
            writer.write(_mqtt_connect(door))
            answer = await reader.readexactly(4)
            writer.write(_MQTT_DISCONNECT)
            await writer.drain()
        finally:
            writer.close()
            await writer.wait_closed()
    if answer != _MQTT_CONNACK_ACCEPTED:
        message = f"the MQTT listener at {mqtt_url} refused the connection ({answer.hex()})"
        raise FailedPrecondition("NEIGHBOUR_UNAVAILABLE", message)


def _mqtt_connect(door: MqttDoor | None) -> bytes:
    """Return a CONNECT packet (MQTT 3.1.1, 3.1) for a clean session."""
    flags = _MQTT_CLEAN if door is None else _MQTT_WITH_PASSWORD
    named = (_MQTT_CLIENT,) if door is None else (_MQTT_CLIENT, door.tenant.ensure_user, door.token)
    texts = b"".join(len(text).to_bytes(2) + text.encode("ascii") for text in named)
    body = _MQTT_CONNECT + bytes([flags]) + _MQTT_KEEP_ALIVE_S.to_bytes(2) + texts
    length, left = bytearray(), len(body)
    while left or not length:
        left, low = divmod(left, 128)
        length.append(low | (0x80 if left else 0))
    return b"\x10" + bytes(length) + body


def _missing(answer: dict[str, Any]) -> bool:
    return bool(answer.get("error", {}).get("code") == _NOT_FOUND)


def _absent(value: object) -> object:
    """Return what the server leaves out of its answer: zero, false and empty."""
    return type(value)() if value is not None else None


def _require(answer: dict[str, Any], what: str) -> None:
    if "error" in answer:
        message = f"could not {what}: {answer['error'].get('description')}"
        raise FailedPrecondition("STATE_FORBIDS", message)
