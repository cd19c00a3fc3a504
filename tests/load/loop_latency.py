"""The loop from a reading to the lamp: 50 loops a second, each of a dimmed lamp of its own, with a city in the background.

A presence reading leaves a device by MQTT QoS 1; the production policy of the demo makes a command of it; the command
arrives at the device. The latency is what lies between the two at the device. In the background 10,000 registered
devices send 5,000 observations a second in gRPC batches.
"""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import grpc
import numpy as np
from google.protobuf.duration_pb2 import Duration
from tests.load import city, throughput

from maasloop.api.command.v1.policy_service_pb2 import CreatePolicyRequest, Policy, SetPolicyModeRequest
from maasloop.api.command.v1.policy_service_pb2_grpc import PolicyServiceStub
from maasloop.api.device.v1.device_pb2 import District
from maasloop.api.device.v1.device_service_pb2 import CreateDistrictRequest, ImportDevicesRequest
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.bus.subjects import DownlinkKind, UplinkKind, downlink, mqtt_topic, uplink
from maasloop.core.clock import SystemClock
from maasloop.stack.local import LocalStack, StackOptions
from maasloop.stack.servers.databases import SERVICES
from maasloop.twin.demo.registration import CLASS_LEVEL_PERCENT, DARK_LX, HOLD_S, register_catalogue

DISTRICT = "loops"
PARENT = f"districts/{DISTRICT}"
SENSOR = "sky"
SAMPLES = 3_000
SPARE_LAMPS = 500
LOOPS_PER_S = 50
BACKGROUND_ROWS_PER_S = 5_000
DIMMED_TIMEOUT_S = 240.0
SETTLE_S = 5.0
MIB = 1024 * 1024
CONFIG = {
    "installed_power_w": 100.0,
    "standby_power_w": 2.0,
    "lighting_class": "P4",
    "class_level_percent": CLASS_LEVEL_PERCENT,
    "floor_percent": 20.0,
}


@dataclass
class Lamps:
    """All lamps of the district behind one MQTT connection, as a gateway would play them."""

    client: aiomqtt.Client
    levels: dict[str, float] = field(default_factory=dict)
    started_s: dict[str, float] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    async def listen(self) -> None:
        """Do what is commanded, answer, and show it on the meter."""
        await self.client.subscribe(
            mqtt_topic(downlink(DISTRICT, SENSOR, DownlinkKind.COMMANDS)).replace(SENSOR, "+"), qos=0
        )
        async for message in self.client.messages:
            arrived_s = time.perf_counter()
            await self._obey(json.loads(bytes(message.payload)), str(message.topic).split("/")[3], arrived_s)

    async def _obey(self, command: dict[str, Any], lamp: str, arrived_s: float) -> None:
        if command["commandId"] in self.known:
            return
        self.known.add(command["commandId"])
        level = float(command["setpoint"].get("lightLevel", {}).get("levelPercent", 0.0))
        started_s = self.started_s.pop(lamp, None) if level >= CLASS_LEVEL_PERCENT else None
        if started_s is not None:
            self.latencies_s.append(arrived_s - started_s)
        self.levels[lamp] = level
        answer = {"device": lamp, "commandId": command["commandId"], "answer": "ANSWER_ACKNOWLEDGED"}
        await self._send(lamp, UplinkKind.RESPONSES_JSON, answer, qos=1)
        power_w = CONFIG["standby_power_w"] + (100.0 - 2.0) * level / 100.0  # type: ignore[operator]
        await self.report(lamp, "power", power_w)

    async def report(self, device: str, observed_property: str, value: float, *, qos: int = 1) -> None:
        """Publish a reading and wait for its PUBACK."""
        reading = {"property": observed_property, "time": SystemClock().now_us(), "value": value}
        await self._send(device, UplinkKind.OBSERVATIONS_JSON, {"observations": [reading]}, qos=qos)

    async def move(self, lamp: str) -> None:
        """Let somebody walk under a lamp."""
        self.started_s[lamp] = time.perf_counter()
        await self.report(lamp, "presence", 1.0)

    async def _send(self, device: str, kind: UplinkKind, body: dict[str, Any], *, qos: int) -> None:
        await self.client.publish(mqtt_topic(uplink(DISTRICT, device, kind)), json.dumps(body), qos=qos)


def _lamp(number: int) -> str:
    return f"lamp-{number:05d}"


async def _register(stack: LocalStack, lamps: int) -> None:
    async with grpc.aio.insecure_channel(stack.addresses["device-registry"].grpc) as channel:
        await city.register(channel)
        await register_catalogue(channel)
        registry: Any = DeviceServiceStub(channel)
        await registry.CreateDistrict(
            CreateDistrictRequest(district_id=DISTRICT, district=District(display_name="Loops"))
        )
        devices = [{"name": f"{PARENT}/devices/{SENSOR}", "deviceType": "deviceTypes/light-sensor"}]
        devices += [
            {"name": f"{PARENT}/devices/{_lamp(number)}", "deviceType": "deviceTypes/streetlight", "config": CONFIG}  # type: ignore[dict-item]
            for number in range(lamps)
        ]
        content = "\n".join(json.dumps(device) for device in devices).encode() + b"\n"

        async def chunks() -> Any:  # noqa: ANN401 - an iterator of requests
            for start in range(0, len(content), MIB // 2):
                yield ImportDevicesRequest(
                    parent=PARENT,
                    format=ImportDevicesRequest.FORMAT_JSON_LINES,
                    activate=True,
                    content=content[start : start + MIB // 2],
                )

        await registry.ImportDevices(chunks())


async def _make_policy(stack: LocalStack) -> None:
    """Create the demo's production policy for this district and let it act."""
    async with grpc.aio.insecure_channel(stack.addresses["actuation"].grpc) as channel:
        policies: Any = PolicyServiceStub(channel)
        policy = Policy(
            display_name="Light where somebody moves in the dark",
            district=DISTRICT,
            observed_properties=["presence"],
            on_condition=f'value > 0.5 && latest["illuminance"] < {DARK_LX:.1f}',
            hold=Duration(seconds=HOLD_S),
            scope=Policy.SCOPE_DEVICE,
            on_level_percent=CLASS_LEVEL_PERCENT,
            off_level_percent=0.0,
        )
        created = await policies.CreatePolicy(CreatePolicyRequest(policy_id="loops", policy=policy))
        await policies.SetPolicyMode(SetPolicyModeRequest(name=created.name, mode=Policy.MODE_ACTIVE))


async def _dim(lamps: Lamps, count: int) -> list[str]:
    """Let nobody be under the lamps until the policy has dimmed them; return those that are."""
    await lamps.report(SENSOR, "illuminance", 1.0)
    deadline_s = time.perf_counter() + DIMMED_TIMEOUT_S
    for number in range(count):
        await lamps.report(_lamp(number), "presence", 0.0)
    while len(lamps.levels) < count and time.perf_counter() < deadline_s:
        await asyncio.sleep(0.5)
    return sorted(lamp for lamp, level in lamps.levels.items() if level < CLASS_LEVEL_PERCENT)


async def measure(root: Path, *, samples: int = SAMPLES) -> dict[str, Any]:
    """Return p50 and p99 of the loop in milliseconds, with how many loops were made and how many gave no command."""
    async with (
        LocalStack(root, StackOptions(services=SERVICES, restart=False)) as stack,
        grpc.aio.insecure_channel(stack.addresses["ingest"].grpc) as ingest,
        aiomqtt.Client(
            *stack.nats.mqtt_address, identifier="lamps", max_queued_outgoing_messages=0, max_inflight_messages=1_000
        ) as client,
    ):
        await _register(stack, samples + SPARE_LAMPS)
        await city.wait_until_known(ingest, SystemClock().now_us() - 60_000_000)
        await asyncio.sleep(SETTLE_S)
        await _make_policy(stack)
        lamps = Lamps(client)
        listening = asyncio.create_task(lamps.listen())
        stop = asyncio.Event()
        loading = asyncio.create_task(_load(ingest, stop))
        try:
            dimmed = (await _dim(lamps, samples + SPARE_LAMPS))[:samples]
            await asyncio.sleep(SETTLE_S)
            await _walk(lamps, dimmed)
            await asyncio.sleep(SETTLE_S)
        finally:
            stop.set()
            rows = await loading
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
        latencies_ms = np.array(lamps.latencies_s) * 1_000
        return {
            "loop_latency_p50_ms": round(float(np.percentile(latencies_ms, 50)), 1),
            "loop_latency_p99_ms": round(float(np.percentile(latencies_ms, 99)), 1),
            "loop_latency_max_ms": round(float(latencies_ms.max()), 1),
            "loops": len(latencies_ms),
            "loops_without_command": len(lamps.started_s),
            "lamps_dimmed": len(dimmed),
            "background_rows": rows,
        }


async def _walk(lamps: Lamps, dimmed: list[str]) -> None:
    """Start one loop after the other at a steady rate, whether the one before has ended or not."""
    loop = asyncio.get_running_loop()
    next_s = loop.time()
    async with asyncio.TaskGroup() as group:
        for lamp in dimmed:
            group.create_task(lamps.move(lamp))
            next_s += 1 / LOOPS_PER_S
            await asyncio.sleep(max(0.0, next_s - loop.time()))


async def _load(ingest: grpc.aio.Channel, stop: asyncio.Event) -> int:
    accepted = 0
    async for total in throughput.background(ingest, rows_per_s=BACKGROUND_ROWS_PER_S, stop=stop):
        accepted = total
    return accepted
