"""The load: gRPC, HTTP and MQTT clients in one process of their own, which survives everything that is killed.

Each client owns its devices, sends a batch at its pace, and sends it again until it is acknowledged: so outcomes that
stayed unknown become duplicates, as with real devices. ``python -m tests.faults.load PLAN`` runs until SIGTERM; then
what is on its way gets ``FINISH_S`` to be acknowledged.
"""

import asyncio
import contextlib
import json
import mmap
import signal
import ssl
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import aiomqtt
import grpc
import httpx2
from tests.faults.city import OBSERVED_PROPERTY, device_id, district_of, json_of, recorder, request_of
from tests.faults.ledger import Batch, Journal

from maasloop.bus.subjects import UplinkKind, mqtt_topic, uplink
from maasloop.core.clock import SystemClock
from maasloop.identity.certificates import TlsFiles
from maasloop.identity.tls import client_context
from maasloop.rpc import client
from maasloop.rpc.client import Peer
from maasloop.stack.doors import MqttListener
from maasloop.stack.recorder import read_header
from maasloop.stack.state import OperatorFiles

CALL_TIMEOUT_S = 5.0
PAUSE_S = 0.1
"""Between two attempts."""
FINISH_S = 45.0
MQTT_TIMEOUT_S = 3.0
CHANNEL_OPTIONS = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 300))
REFUSED = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT)
"""Answers by which nothing of a batch was taken."""
HTTP_REFUSED_FROM, HTTP_REFUSED_TO = 400, 500
COUNTERS = struct.Struct("qqq")
DOORS = ("grpc", "http", "mqtt")


@dataclass(frozen=True, slots=True)
class Plan:
    """What one load does; a file that the lab writes."""

    ledger: str
    counters: str
    """File that holds the acknowledged readings by door, for whoever watches."""
    grpc_address: str
    http_address: str
    mqtt: Mapping[str, Any]
    """The listener and as whom its devices connect: fields of a ``MqttListener``."""
    first_value: int
    operator: OperatorFiles | None = None
    """Certificate that the load shows; none where nobody is identified."""
    http_header_file: str = ""
    """Its token for the HTTP door; empty where nobody is identified."""
    grpc_clients: int = 8
    grpc_devices: int = 10
    grpc_readings: int = 100
    grpc_calls_per_s: float = 6.0
    http_clients: int = 2
    http_devices: int = 10
    http_readings: int = 20
    http_calls_per_s: float = 5.0
    mqtt_clients: int = 10
    mqtt_messages_per_s: float = 10.0
    skew_us: int = 0
    """What the clock of all devices is ahead."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        operator = fields.pop("operator")
        return cls(operator=OperatorFiles(**operator) if operator else None, **fields)

    @property
    def tls(self) -> TlsFiles | None:
        """The files of the certificate."""
        return self.operator.files() if self.operator else None

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Client:
    """One sender: its devices, its pace, and what sends a batch once and returns whether it was acknowledged.

    ``send`` raises ``Refused`` when nothing was taken, and any other exception when nobody knows.
    """

    door: str
    device: int
    devices: int
    count: int
    per_s: float
    send: Callable[[Batch], Awaitable[None]]


class Refused(Exception):
    """Nothing of the batch was taken."""


class Load:
    """All clients of a plan."""

    def __init__(self, plan: Plan) -> None:
        """Count in the file of the plan."""
        self._plan = plan
        self._journal = Journal(Path(plan.ledger))
        self._clock = SystemClock()
        self._stop = asyncio.Event()
        self._ended = asyncio.Event()
        self._batches = 0
        self._value = plan.first_value
        self._acknowledged = dict.fromkeys(DOORS, 0)
        Path(plan.counters).write_bytes(COUNTERS.pack(0, 0, 0))
        with Path(plan.counters).open("r+b") as file:
            self._counters = mmap.mmap(file.fileno(), COUNTERS.size)

    async def run(self) -> None:
        """Send until SIGTERM."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        keeping = asyncio.create_task(self._journal.keep())
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as connections:
            async with asyncio.TaskGroup() as group:
                for client in await self._clients(stack, connections):
                    group.create_task(self._work(client))
            self._ended.set()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    async def _clients(self, stack: contextlib.AsyncExitStack, group: asyncio.TaskGroup) -> list[_Client]:
        plan, device, clients = self._plan, 0, []
        for _ in range(plan.grpc_clients):
            peer = Peer("ingest", plan.tls) if plan.tls else None
            channel = await stack.enter_async_context(
                client.channel(plan.grpc_address, peer=peer, options=CHANNEL_OPTIONS)
            )
            send = _by_grpc(channel)
            clients.append(_Client("grpc", device, plan.grpc_devices, plan.grpc_readings, plan.grpc_calls_per_s, send))
            device += plan.grpc_devices
        trusted = client_context(plan.tls.authority) if plan.tls else ssl.create_default_context()
        headers = read_header(Path(plan.http_header_file)) if plan.http_header_file else {}
        http = await stack.enter_async_context(
            httpx2.AsyncClient(timeout=CALL_TIMEOUT_S, verify=trusted, headers=headers)
        )
        for _ in range(plan.http_clients):
            send = _by_http(http, f"http{'s' if plan.tls else ''}://{plan.http_address}")
            clients.append(_Client("http", device, plan.http_devices, plan.http_readings, plan.http_calls_per_s, send))
            device += plan.http_devices
        for _ in range(plan.mqtt_clients):
            thing = _MqttDevice(plan, device)
            group.create_task(thing.stay_connected(self._ended))
            clients.append(_Client("mqtt", device, 1, 1, plan.mqtt_messages_per_s, thing.send))
            device += 1
        return clients

    async def _work(self, client: _Client) -> None:
        loop = asyncio.get_running_loop()
        last_us, next_s = 0, loop.time()
        while not self._stop.is_set():
            time_us = max(self._clock.now_us() + self._plan.skew_us, last_us + 1)
            batch = Batch(self._batches, client.door, client.device, client.devices, time_us, self._value, client.count)
            self._batches += 1
            self._value += client.count
            last_us = batch.times_us()[-1]
            await self._journal.invoked(batch)
            await self._until_acknowledged(client, batch)
            # A client that was held up goes on at its pace and does not catch up.
            next_s = max(next_s + 1 / client.per_s, loop.time() - 1 / client.per_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), max(0.0, next_s - loop.time()))

    async def _until_acknowledged(self, client: _Client, batch: Batch) -> None:
        unknown, reason, finish_s = False, "", 0.0
        while True:
            try:
                await client.send(batch)
            except Refused as error:
                reason = str(error)
            except Exception:  # noqa: BLE001, RUF100 - whatever it was, nobody knows what became of the batch
                unknown = True
            else:
                self._journal.ok(batch, self._clock.monotonic_s())
                self._count(client.door, batch.count)
                return
            if self._stop.is_set():
                finish_s = finish_s or self._clock.monotonic_s() + FINISH_S
                if self._clock.monotonic_s() > finish_s:
                    break
            await asyncio.sleep(PAUSE_S)
        if not unknown:
            self._journal.fail(batch, reason)

    def _count(self, door: str, readings: int) -> None:
        self._acknowledged[door] += readings
        self._counters[:] = COUNTERS.pack(*self._acknowledged.values())


def _by_grpc(channel: grpc.aio.Channel) -> Callable[[Batch], Awaitable[None]]:
    record = recorder(channel)

    async def send(batch: Batch) -> None:
        try:
            answer = await record(request_of(batch), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() in REFUSED:
                raise Refused(str(error.code())) from error
            raise
        _require_all(batch, answer.accepted_count)

    return send


def _by_http(http: httpx2.AsyncClient, door: str) -> Callable[[Batch], Awaitable[None]]:
    async def send(batch: Batch) -> None:
        url = f"{door}/v1/observations?district={district_of(batch.device)}"
        answer = await http.post(url, content=json_of(batch), headers={"content-type": "application/json"})
        if HTTP_REFUSED_FROM <= answer.status_code < HTTP_REFUSED_TO:
            raise Refused(str(answer.status_code))
        answer.raise_for_status()
        _require_all(batch, answer.json()["accepted_count"])

    return send


def _require_all(batch: Batch, accepted: int) -> None:
    if accepted != batch.count:
        message = f"{accepted} of {batch.count} readings were taken"
        raise RuntimeError(message)


class _MqttDevice:
    """A device that keeps its connection up and publishes with QoS 1."""

    def __init__(self, plan: Plan, device: int) -> None:
        self._options = MqttListener(**plan.mqtt).options()
        self._id = device_id(device)
        self._topic = mqtt_topic(uplink(district_of(device), self._id, UplinkKind.OBSERVATIONS_JSON))
        self._client: aiomqtt.Client | None = None
        self._lost = asyncio.Event()

    async def stay_connected(self, ended: asyncio.Event) -> None:
        """Connect, and again when a publish failed, until nobody sends any more."""
        while not ended.is_set():
            self._lost.clear()
            try:
                async with aiomqtt.Client(**self._options, identifier=self._id, timeout=MQTT_TIMEOUT_S) as client:
                    self._client = client
                    await _first(self._lost, ended)
            except (aiomqtt.MqttError, OSError):
                await asyncio.sleep(PAUSE_S)
            finally:
                self._client = None

    async def send(self, batch: Batch) -> None:
        """Publish one reading and wait for its PUBACK."""
        if self._client is None:
            raise ConnectionError
        reading = {"property": OBSERVED_PROPERTY, "time": batch.time_us, "value": float(batch.value)}
        try:
            await self._client.publish(
                self._topic, json.dumps({"observations": [reading]}), qos=1, timeout=MQTT_TIMEOUT_S
            )
        except aiomqtt.MqttError:
            self._lost.set()
            raise


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def main() -> int:
    """Run the load of a plan."""
    began_s = time.monotonic()
    asyncio.run(Load(Plan.read(Path(sys.argv[1]))).run())
    sys.stdout.write(f"load ended after {time.monotonic() - began_s:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
