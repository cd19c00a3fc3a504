"""The scene of the loop's bench: a district of lamps behind one cabinet, sensors that report, and a policy."""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiomqtt
import grpc
import numpy as np

from maasloop.api.command.v1.policy_service_pb2 import CreatePolicyRequest, Policy, SetPolicyModeRequest
from maasloop.api.command.v1.policy_service_pb2_grpc import PolicyServiceStub
from maasloop.api.device.v1 import device_pb2
from maasloop.api.device.v1 import device_service_pb2 as registry_pb
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest
from maasloop.api.observation.v1.ingest_service_pb2_grpc import IngestServiceStub
from maasloop.bus.columns import build_columns
from maasloop.core.errors import AlreadyExists
from maasloop.identity.commands import Guard, Opened
from maasloop.rpc.client import call
from maasloop.rpc.times import duration_from_s

DISTRICT = "bench"
GATEWAY = "cabinet-01"
BATCH = 1_000
CHUNK_BYTES = 256 * 1024
DIM_LOT = 100
DIMMED_AFTER_S = 15.0
CLASS_PERCENT = 40.0
FLOOR_PERCENT = 30.0
INSTALLED_W = 100.0


class Unguarded:
    """Takes what arrives, where commands are not signed."""

    def open(self, envelope: bytes, *, device: str, now_us: int) -> Opened:
        """Return the command."""
        return Opened(envelope, repeated=False)


class Device:
    """All lamps behind one gateway: one MQTT connection that hears commands, answers, and reports power."""

    def __init__(self, client: aiomqtt.Client, guard: Guard) -> None:
        """Speak over the client; obey what the guard lets through."""
        self.client = client
        self._guard = guard
        self.arrived: dict[str, float] = {}
        self.dimmed: set[str] = set()
        self._answers: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def hear(self) -> None:
        """Note when commands arrive."""
        async for message in self.client.messages:
            heard_s = time.perf_counter()
            meant = message.topic.value.split("/")[3]
            command = json.loads(self._guard.open(bytes(message.payload), device=meant, now_us=now_us()).payload)
            lamp, level = command["device"], command["setpoint"]["lightLevel"]["levelPercent"]
            if level > FLOOR_PERCENT:
                self.arrived.setdefault(lamp, heard_s)
            else:
                self.dimmed.add(lamp)
            answer = {"device": lamp, "commandId": command["commandId"], "answer": "ANSWER_ACKNOWLEDGED"}
            power = {"device": lamp, "property": "power", "value": INSTALLED_W * level / 100, "time": now_us()}
            self._answers.put_nowait(("responses-json", json.dumps(answer).encode()))
            self._answers.put_nowait(("observations-json", json.dumps({"observations": [power]}).encode()))

    async def answer(self) -> None:
        """Send what lamps say; one of several senders, because each waits for its PUBACK."""
        while True:
            kind, body = await self._answers.get()
            await self.client.publish(topic(kind), body, qos=1)

    async def pass_by(self, lamp: str) -> float:
        """Report that somebody is about and return when the publish began."""
        return await self.presence([lamp], 1.0)

    async def presence(self, lamps: list[str], value: float) -> float:
        """Report presence and return when the publish began."""
        readings = [{"device": lamp, "property": "presence", "value": bool(value)} for lamp in lamps]
        body = json.dumps({"observations": readings}).encode()
        began_s = time.perf_counter()
        await self.client.publish(topic("observations-json"), body, qos=1)
        return began_s


def topic(kind: str) -> str:
    """Return the gateway's topic for a kind of uplink."""
    return f"dev/v1/{DISTRICT}/{GATEWAY}/up/{kind}"


def now_us() -> int:
    """Return wall time."""
    return time.time_ns() // 1_000


async def register(channel: grpc.aio.Channel, lamps: list[str], others: list[str]) -> None:
    """Register the district, its catalogue and its devices."""
    stub = DeviceServiceStub(channel)
    property_, type_ = device_pb2.ObservedProperty, device_pb2.DeviceType
    for name, domain, kind in (
        ("presence", "mobility", property_.KIND_BOOLEAN),
        ("power", "energy", property_.KIND_NUMBER),
        ("illuminance", "light", property_.KIND_NUMBER),
        ("temperature", "air", property_.KIND_NUMBER),
    ):
        unit = "" if kind == property_.KIND_BOOLEAN else "1"
        observed = property_(display_name=name, domain=domain, kind=kind, unit=unit, retention="90d")
        await unless_there(
            stub.CreateObservedProperty,
            registry_pb.CreateObservedPropertyRequest(observed_property_id=name, observed_property=observed),
        )
    for name, properties, capabilities in (
        ("streetlight", ["power", "presence"], [type_.CAPABILITY_LIGHT_LEVEL]),
        ("street-cabinet", [], []),
        ("light-sensor", ["illuminance"], []),
        ("air-station", ["temperature"], []),
    ):
        wanted = type_(
            display_name=name,
            observed_properties=[f"observedProperties/{one}" for one in properties],
            capabilities=capabilities,
        )
        await unless_there(
            stub.CreateDeviceType, registry_pb.CreateDeviceTypeRequest(device_type_id=name, device_type=wanted)
        )
    district = registry_pb.CreateDistrictRequest(
        district_id=DISTRICT, district=device_pb2.District(display_name="Bench")
    )
    await unless_there(stub.CreateDistrict, district)
    imported = await stub.ImportDevices(chunks(lamps, others), timeout=60)
    print(f"registered {imported.created_count} devices", file=sys.stderr)


async def unless_there(method: Any, request: Any) -> None:  # noqa: ANN401 - any method of the stub
    """Create, unless it exists."""
    try:
        await call(method, request)
    except AlreadyExists:
        return


async def chunks(lamps: list[str], others: list[str]) -> AsyncIterator[registry_pb.ImportDevicesRequest]:
    """Return the import in chunks."""
    config = {
        "installed_power_w": INSTALLED_W,
        "standby_power_w": 0.0,
        "class_level_percent": CLASS_PERCENT,
        "floor_percent": FLOOR_PERCENT,
    }
    rows = [device(GATEWAY, "street-cabinet"), device("sensor-01", "light-sensor")]
    rows += [device(lamp, "streetlight", gateway=GATEWAY, config=config) for lamp in lamps]
    rows += [device(other, "air-station") for other in others]
    content = "\n".join(json.dumps(row) for row in rows).encode() + b"\n"
    for start in range(0, len(content), CHUNK_BYTES):
        chunk = registry_pb.ImportDevicesRequest(content=content[start : start + CHUNK_BYTES])
        if start == 0:
            chunk.parent = f"districts/{DISTRICT}"
            chunk.format = registry_pb.ImportDevicesRequest.FORMAT_JSON_LINES
            chunk.activate = True
            chunk.request_id = str(uuid.uuid4())
        yield chunk


def device(name: str, device_type: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a device
    """Return a row of the import."""
    return {"name": f"districts/{DISTRICT}/devices/{name}", "deviceType": f"deviceTypes/{device_type}", **more}


async def make_policy(channel: grpc.aio.Channel) -> None:
    """Create the production policy and let it act."""
    stub = PolicyServiceStub(channel)
    policy = Policy(
        display_name="Light where somebody moves in the dark",
        district=DISTRICT,
        observed_properties=["presence"],
        on_condition='value > 0.5 && latest["illuminance"] < 20.0',
        hold=duration_from_s(20),
        on_level_percent=CLASS_PERCENT,
        off_level_percent=0.0,
    )
    created = await call(stub.CreatePolicy, CreatePolicyRequest(policy_id="lamps-bench", policy=policy))
    await call(stub.SetPolicyMode, SetPolicyModeRequest(name=created.name, mode=Policy.MODE_ACTIVE))


async def background(
    channel: grpc.aio.Channel, others: list[str], rate: int, counted: list[int], *, start: int = 0
) -> None:
    """Report ``rate`` observations a second for ever, in batches, event times ``start`` us apart from the wall clock."""
    stub = IngestServiceStub(channel)
    lot, began_s = 0, time.perf_counter()
    rng = np.random.default_rng(7)
    while True:
        names = [others[(lot * BATCH + offset) % len(others)] for offset in range(min(BATCH, len(others)))]
        count = len(names)
        columns = build_columns(
            names,
            ["temperature"],
            np.arange(count),
            np.zeros(count, np.int64),
            np.full(count, now_us() - start),
            rng.normal(12, 3, count),
        )
        request = RecordObservationsRequest(parent=f"districts/{DISTRICT}", observations=columns.message())
        await stub.RecordObservations(request, timeout=30)
        counted[0] += count
        lot += 1
        await asyncio.sleep(max(0.0, began_s + lot * BATCH / rate - time.perf_counter()))


async def darken(lamp_field: Device, lamps: list[str]) -> None:
    """Make it night with nobody about, and wait until every lamp was dimmed."""
    dark = {"device": "sensor-01", "property": "illuminance", "value": 1.0}
    kind = f"dev/v1/{DISTRICT}/sensor-01/up/observations-json"
    await lamp_field.client.publish(kind, json.dumps({"observations": [dark]}).encode(), qos=1)
    deadline_s = time.perf_counter() + 60
    while len(lamp_field.dimmed) < len(lamps) and time.perf_counter() < deadline_s:
        missing = [lamp for lamp in lamps if lamp not in lamp_field.dimmed]
        for start in range(0, len(missing), DIM_LOT):
            await lamp_field.presence(missing[start : start + DIM_LOT], 0.0)
            await asyncio.sleep(0.05)
        await asyncio.sleep(2)
    print(f"dimmed {len(lamp_field.dimmed)} of {len(lamps)} lamps", file=sys.stderr)
    await asyncio.sleep(DIMMED_AFTER_S)
