"""All doors of a district together: payloads go out, commands and receipts come in, and the ledger is kept."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

import structlog
from google.protobuf.json_format import Parse, ParseError

from maasloop.api.observation.v1.events_pb2 import DeviceReceipt
from maasloop.bus.subjects import DownlinkKind, UplinkKind, downlink, mqtt_topic, uplink
from maasloop.core.clock import Clock
from maasloop.stack.doors import MqttListener
from maasloop.twin.devices.commands import Answer, write_answer
from maasloop.twin.devices.desk import CommandDesk, Gateway
from maasloop.twin.devices.readings import in_column_order, to_columns, to_json
from maasloop.twin.doors.http import HttpDoor
from maasloop.twin.doors.mqtt import MqttLink
from maasloop.twin.doors.receipt import Receipt
from maasloop.twin.doors.rpc import ColumnsDoor
from maasloop.twin.play.ledger import Ledger
from maasloop.twin.play.payload import Payload, Voice

DEVICE_LEVEL = 3
"""Where the device stands in ``dev/v1/{district}/{device}/down/…``."""

log = structlog.get_logger(__name__)


class Doors:
    """The sockets of a district. ``run`` keeps the links up; ``send`` returns when somebody took responsibility."""

    def __init__(
        self,
        district: str,
        *,
        mqtt: MqttListener,
        http: HttpDoor,
        grpc: ColumnsDoor,
        nats: ColumnsDoor,
        ledger: Ledger,
        clock: Clock,
        desk: CommandDesk,
    ) -> None:
        """Prepare; add gateways and devices before ``run``. Commands go to the desk."""
        self._district = district
        self._mqtt = mqtt
        self._http = http
        self._grpc = grpc
        self._nats = nats
        self.ledger = ledger
        self._clock = clock
        self._desk = desk
        self._links: dict[str, MqttLink] = {}
        self._tasks: set[asyncio.Task[int]] = set()
        self.receipts = 0
        self.resent_readings = 0
        self.refused_by_receipt: Counter[str] = Counter()

    def add_gateway(self, gateway: Gateway) -> None:
        """Give a gateway its link, on which it hears commands for all its devices."""
        topics = [self._topic_down(device, DownlinkKind.COMMANDS) for device in gateway.heard_devices]
        self._add(gateway.id, topics)
        self._desk.add(gateway)

    def add_device(self, device: str) -> None:
        """Give a device its link."""
        self._add(device, [])

    def _add(self, device: str, topics: list[str]) -> None:
        topics.append(self._topic_down(device, DownlinkKind.RECEIPTS))

        def heard(topic: str, payload: bytes) -> None:
            self._hear(device, topic, payload)

        self._links[device] = MqttLink(self._mqtt, self._name(device), topics, heard)

    @property
    def devices(self) -> tuple[str, ...]:
        """Whoever has a link of its own."""
        return tuple(self._links)

    def identify(self, passwords: Mapping[str, str]) -> None:
        """Give devices the passwords of their credentials, before ``run``; the others stay the listener's user."""
        for device, password in passwords.items():
            self._links[device].identify(self._name(device), password)

    def _name(self, device: str) -> str:
        """Return the user name and the client id of a device."""
        return f"{self._district}/{device}"

    async def run(self) -> None:
        """Keep every link up until cancelled."""
        async with asyncio.TaskGroup() as group:
            for device, link in self._links.items():
                group.create_task(link.run(), name=f"mqtt-{device}")

    async def connected(self) -> None:
        """Wait until every link stands."""
        await asyncio.gather(*(link.connected() for link in self._links.values()))

    async def send_all(self, payloads: Iterable[Payload]) -> list[Receipt]:
        """Send everything at once and return when all of it is answered."""
        return await asyncio.gather(*(self.send(payload) for payload in payloads))

    async def send(self, payload: Payload) -> Receipt:
        """Send one payload through its door and keep the ledger."""
        receipt = await self._send(payload)
        self.ledger.acknowledge(receipt.taken)
        for reading, reason in receipt.refused:
            self.ledger.refuse([reading], reason)
        return receipt

    async def _send(self, payload: Payload) -> Receipt:
        readings = payload.everything
        match payload.voice:
            case Voice.MQTT_PB:
                ordered = in_column_order(readings)
                body = to_columns(ordered).SerializeToString()
                return await self._publish(payload.device, UplinkKind.OBSERVATIONS_PB, body, Receipt(ordered))
            case Voice.MQTT_JSON:
                kind = UplinkKind.OBSERVATIONS_JSON
                return await self._publish(payload.device, kind, to_json(readings), Receipt(readings))
            case Voice.HTTP_SENML:
                return await self._http.send_senml(payload.device, readings)
            case Voice.HTTP_JSON:
                return await self._http.send_json(payload.device, readings)
            case Voice.GRPC:
                return await self._grpc.send(readings)
            case Voice.NATS:
                return await self._nats.send(readings)

    async def _publish(self, device: str, kind: UplinkKind, body: bytes, receipt: Receipt) -> Receipt:
        again = await self._links[device].send(mqtt_topic(uplink(self._district, device, kind)), body)
        self.resent_readings += again * len(receipt.taken)
        return receipt

    def answer(self, gateway_id: str, answers: Iterable[Answer]) -> None:
        """Send what a gateway says to commands, without waiting for it."""
        topic = mqtt_topic(uplink(self._district, gateway_id, UplinkKind.RESPONSES_JSON))
        for answer in answers:
            self._begin(self._links[gateway_id].send(topic, write_answer(answer, self._clock.now_us())))

    def _begin(self, work: Coroutine[Any, Any, int]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Wait until every answer under way is acknowledged."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _hear(self, device: str, topic: str, payload: bytes) -> None:
        if topic.endswith(DownlinkKind.RECEIPTS):
            self._hear_receipt(payload)
            return
        answer = self._desk.hear(device, topic.split("/")[DEVICE_LEVEL], payload)
        if answer is not None:
            self.answer(device, [answer])

    def _hear_receipt(self, payload: bytes) -> None:
        try:
            receipt = Parse(payload, DeviceReceipt(), ignore_unknown_fields=True)
        except ParseError:
            log.warning("receipt_malformed")
            return
        self.receipts += 1
        self.refused_by_receipt.update(refusal.reason for refusal in receipt.refusals)

    def _topic_down(self, device: str, kind: DownlinkKind) -> str:
        return mqtt_topic(downlink(self._district, device, kind))


def by_domain(payloads: Iterable[Payload], domain_of: Mapping[str, str]) -> Counter[str]:
    """Count the readings of this second that the clock announces: good ones, and nobody's personal ones."""
    counts: Counter[str] = Counter()
    for payload in payloads:
        if not payload.personal:
            counts.update(domain_of[reading.observed_property] for reading in payload.readings)
    return counts
