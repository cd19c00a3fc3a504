"""Loop latency: QoS 1 publish of a presence reading to the lamp's command at the device, over the whole platform.

Each sample is a lamp of its own that was dimmed by the production policy before and must become brighter. Meanwhile the
other registered devices report through gRPC batches, and every lamp answers and reports its power as a real one does.
Prints a table, and with ``--json`` what the data path's report takes.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
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
from maasloop.rpc.client import call
from maasloop.rpc.times import duration_from_s
from maasloop.stack.local import LocalStack, StackOptions

BENCHES = Path(__file__).resolve().parents[3] / ".maasloop" / "bench"
"""On the disk of the checkout: what lies in memory needs no fsync."""
DISTRICT = "bench"
GATEWAY = "cabinet-01"
SERVICES = ("ingest", "device-registry", "timeseries", "actuation", "consent")
BATCH = 1_000
CHUNK_BYTES = 256 * 1024
DIM_LOT = 100
SENDERS = 32
DIMMED_AFTER_S = 15.0
ARRIVAL_TIMEOUT_S = 10.0
CLASS_PERCENT = 40.0
FLOOR_PERCENT = 30.0
INSTALLED_W = 100.0


class Device:
    """All lamps behind one gateway: one MQTT connection that hears commands, answers, and reports power."""

    def __init__(self, client: aiomqtt.Client) -> None:
        """Speak over the client."""
        self.client = client
        self.arrived: dict[str, float] = {}
        self.dimmed: set[str] = set()
        self._answers: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def hear(self) -> None:
        """Note when commands arrive."""
        async for message in self.client.messages:
            heard_s = time.perf_counter()
            command = json.loads(bytes(message.payload))
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


async def background(channel: grpc.aio.Channel, others: list[str], rate: int, counted: list[int]) -> None:
    """Report ``rate`` observations a second for ever, in batches."""
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
            np.full(count, now_us()),
            rng.normal(12, 3, count),
        )
        request = RecordObservationsRequest(parent=f"districts/{DISTRICT}", observations=columns.message())
        await stub.RecordObservations(request, timeout=30)
        counted[0] += count
        lot += 1
        await asyncio.sleep(max(0.0, began_s + lot * BATCH / rate - time.perf_counter()))


async def measure(stack: LocalStack, arguments: argparse.Namespace) -> dict[str, Any]:
    """Set the scene and take the samples."""
    lamps = [f"lamp-{number:05}" for number in range(arguments.loops)]
    others = [f"air-{number:05}" for number in range(arguments.devices - arguments.loops - 2)]
    address = {name: stack.addresses[name].grpc for name in ("device-registry", "actuation", "ingest")}
    host, port = stack.nats.mqtt_address
    options = [("grpc.max_receive_message_length", 8 << 20)]
    async with (
        grpc.aio.insecure_channel(address["device-registry"], options=options) as registry,
        grpc.aio.insecure_channel(address["actuation"]) as actuation,
        grpc.aio.insecure_channel(address["ingest"]) as ingest,
        aiomqtt.Client(host, port, identifier="bench-cabinet", max_inflight_messages=200) as client,
    ):
        client.pending_calls_threshold = 1_000
        await register(registry, lamps, others)
        await make_policy(actuation)
        await client.subscribe(f"dev/v1/{DISTRICT}/+/down/commands", qos=0)
        lamp_field = Device(client)
        counted = [0]
        tasks = [
            asyncio.create_task(lamp_field.hear()),
            *(asyncio.create_task(lamp_field.answer()) for _ in range(SENDERS)),
            asyncio.create_task(background(ingest, others, arguments.background, counted)),
        ]
        try:
            await darken(lamp_field, lamps)
            counted[0], began_s = 0, time.perf_counter()
            samples = await take(lamp_field, lamps, arguments.rate)
            rate = counted[0] / (time.perf_counter() - began_s)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return summary(samples, len(lamps), rate)


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


async def take(lamp_field: Device, lamps: list[str], rate: float) -> list[float]:
    """Walk past every lamp, ``rate`` a second, and return the latencies in ms."""
    began: dict[str, float] = {}
    pending: set[asyncio.Task[None]] = set()

    async def pass_by(lamp: str) -> None:
        began[lamp] = time.perf_counter()
        await lamp_field.presence([lamp], 1.0)

    start_s = time.perf_counter()
    for number, lamp in enumerate(lamps):
        task = asyncio.create_task(pass_by(lamp))
        pending.add(task)
        task.add_done_callback(pending.discard)
        await asyncio.sleep(max(0.0, start_s + (number + 1) / rate - time.perf_counter()))
    deadline_s = time.perf_counter() + ARRIVAL_TIMEOUT_S
    while len(lamp_field.arrived) < len(lamps) and time.perf_counter() < deadline_s:
        await asyncio.sleep(0.1)
    return [(lamp_field.arrived[lamp] - began[lamp]) * 1_000 for lamp in lamps if lamp in lamp_field.arrived]


def summary(samples: list[float], loops: int, background_rate: float) -> dict[str, Any]:
    """Return the figures."""
    samples.sort()
    return {
        "loop_latency_p50_ms": round(statistics.median(samples), 2),
        "loop_latency_p90_ms": round(samples[int(len(samples) * 0.9)], 2),
        "loop_latency_p99_ms": round(samples[int(len(samples) * 0.99)], 2),
        "loop_latency_max_ms": round(samples[-1], 2),
        "samples": len(samples),
        "lost": loops - len(samples),
        "background_observations_per_s": round(background_rate),
    }


async def run(root: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Start a platform of its own, measure, and stop it."""
    async with LocalStack(root, StackOptions(services=SERVICES, durable_initdb=False)) as stack:
        found = await measure(stack, arguments)
        found["rss_mib"] = {name: rss_mib(process.pid) for name, process in stack.processes.items()}
        if arguments.keep_logs:
            keep(stack, Path(arguments.keep_logs))
        return found


def keep(stack: LocalStack, folder: Path) -> None:
    """Keep what the services logged and counted."""
    for log in stack.directory.logs.glob("*.log"):
        (folder / log.name).write_bytes(log.read_bytes())
    for name in stack.services:
        with urllib.request.urlopen(f"http://{stack.addresses[name].health}/metrics", timeout=5) as answer:
            (folder / f"{name}.metrics").write_bytes(answer.read())


def rss_mib(pid: int | None) -> float:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loops", type=int, default=3_000, help="samples, each a lamp of its own")
    parser.add_argument("--rate", type=float, default=50.0, help="loops a second")
    parser.add_argument("--background", type=int, default=5_000, help="observations a second")
    parser.add_argument("--devices", type=int, default=10_000, help="registered devices, lamps included")
    parser.add_argument("--keep-logs", default="", help="folder to copy the logs to")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    BENCHES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="loop-", dir=BENCHES) as root:
        Path(root).chmod(0o755)
        found = asyncio.run(run(Path(root), arguments))
    if arguments.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:32} {value}")


if __name__ == "__main__":
    main()
