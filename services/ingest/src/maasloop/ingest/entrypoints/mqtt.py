"""The MQTT door: what nats-server has sent a PUBACK for, read from the stream where that PUBACK is made.

A message is acknowledged to the stream after its readings, refusals and answers are stored; until then it comes again,
here or in another instance. While the broker takes nothing more, nothing is acknowledged, the server's stream fills, and
the server withholds its PUBACKs. A PUBACK carries no reason: refusals go to the device's ``down/receipts``, best effort.

QoS 0 is heard by a plain subscription, without custody and counted apart. Both see QoS 1 publishes, because nats-server
passes those on as well; a message that came over a QoS 1 publish carries a header by which it is left to the durable.

Messages that arrived together and are plain go through the pipeline as one batch, with one publish; whatever needs a
refusal, and what finds no room, goes by itself. Each message is acknowledged for itself and only after its own outcome
is stored. Answers to commands have a durable and a connection of their own, so that they never wait behind readings.

Tasks: ``pull`` keeps up to ``BATCHES_AT_ONCE_MAX`` batches and ``AT_ONCE_MAX`` single messages on their way.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import structlog
from google.protobuf.json_format import MessageToJson
from numpy.typing import NDArray

from maasloop.api.observation.v1.events_pb2 import DeviceReceipt
from maasloop.bus.connection import Bus
from maasloop.bus.consume import CONSUMED, settle
from maasloop.bus.pull import Delivery, Pull, acknowledge
from maasloop.bus.streams import MQTT_RESPONSES, MQTT_UPLINKS
from maasloop.bus.subjects import (
    UPLINKS_QOS0,
    DownlinkKind,
    UplinkKind,
    UplinkSubject,
    downlink,
    parse_uplink,
    stored_uplink,
)
from maasloop.bus.tenants import ALONE, Tenant
from maasloop.core.clock import Clock
from maasloop.core.errors import InvalidArgument, MaasloopError
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.ingest.domain.readings import PAYLOAD_MAX_BYTES
from maasloop.ingest.handlers.record_response import RecordResponse
from maasloop.ingest.handlers.refuse_payload import RefusePayload
from maasloop.ingest.ports import Batch
from maasloop.rpc.times import timestamp_from_us
from maasloop.telemetry import tracing
from maasloop.telemetry.metrics import counter

from .answers import refusals
from .gathering import Gathering
from .payloads import CONTENT_TYPES, Received, UnitOf, decode, decode_response

AT_ONCE_MAX = 128
"""Messages on their way by themselves."""
BATCHES_AT_ONCE_MAX = 2
BATCH_MAX = 512
"""Messages of a batch."""
OUTSTANDING_MAX = 2_048
OUTSTANDING_MAX_BYTES = 16 * 1024 * 1024
LOADED_FROM = 8
"""Messages that were taken at once, from which the next ones are given time to gather."""
GATHER_S = 0.01
RECEIPT_REFUSALS_MAX = 100
QOS_HEADER = "Nmqtt-Pub"
"""Header of nats-server on what came as an MQTT publish: its quality of service."""

UNPROVEN = counter(
    "maasloop_ingest_qos0_payloads_total",
    "Payloads without custody (MQTT QoS 0 or a plain publish), by outcome.",
    ("outcome",),
)
RESPONSES = counter("maasloop_ingest_responses_total", "Answers of devices to commands, by outcome.", ("outcome",))

type Record = Callable[[Batch], Awaitable[Recorded]]
type GiveUp = Callable[[str, Door, str], Awaitable[None]]
type Together = Callable[[Batch, NDArray[np.int64]], Awaitable[NDArray[np.int64]]]

_RESPONSES = frozenset({UplinkKind.RESPONSES_JSON, UplinkKind.RESPONSES_PB})

log = structlog.get_logger(__name__)


class MqttDoor:
    """What devices send."""

    def __init__(
        self,
        *,
        bus: Bus,
        bulk: Bus,
        record: Record,
        together: Together,
        refuse: RefusePayload,
        give_up: GiveUp,
        respond: RecordResponse,
        unit_of: UnitOf,
        clock: Clock,
        tenant: Tenant = ALONE[0],
    ) -> None:
        """Hear readings of a tenant's devices over ``bulk`` and everything else over ``bus``.

        ``record`` is the pipeline, ``together`` its way for many plain payloads, ``refuse`` what becomes of a payload
        that is none. ``give_up(district, door, message id)`` counts a payload that became a dead letter.
        """
        self._bus = bus
        self._bulk = bulk
        self._together = together
        self._room = asyncio.Semaphore(AT_ONCE_MAX)
        self._record = record
        self._refuse = refuse
        self._give_up = give_up
        self._respond = respond
        self._unit_of = unit_of
        self._clock = clock
        self._uplinks, self._responses = tenant.durable(MQTT_UPLINKS), tenant.durable(MQTT_RESPONSES)
        self._unproven: set[asyncio.Task[None]] = set()

    async def pull(self, stop: asyncio.Event) -> None:
        """Take what PUBACKs were sent for until ``stop`` is set, then finish what is in hand."""
        pulled = Pull(self._bulk, self._uplinks, outstanding_max=OUTSTANDING_MAX, bytes_max=OUTSTANDING_MAX_BYTES)
        batches = asyncio.Semaphore(BATCHES_AT_ONCE_MAX)
        async with pulled as pull, asyncio.TaskGroup() as group:
            while not stop.is_set():
                await batches.acquire()
                deliveries = await pull.take(BATCH_MAX, wait_s=0.5)
                began_s = self._clock.monotonic_s()
                task = group.create_task(self._settle_many(deliveries, group))
                task.add_done_callback(lambda _: batches.release())
                if len(deliveries) >= LOADED_FROM:
                    await self._clock.sleep(max(0.0, began_s + GATHER_S - self._clock.monotonic_s()))

    async def pull_responses(self, stop: asyncio.Event) -> None:
        """Take answers to commands until ``stop`` is set."""
        async with Pull(self._bus, self._responses, outstanding_max=AT_ONCE_MAX) as pull, asyncio.TaskGroup() as group:
            room = asyncio.Semaphore(AT_ONCE_MAX)
            while not stop.is_set():
                for delivery in await pull.take(AT_ONCE_MAX, wait_s=0.5):
                    await room.acquire()
                    task = group.create_task(settle(self._bus, self._responses, delivery, self._handle))
                    task.add_done_callback(lambda _: room.release())

    async def hear_unproven(self) -> None:
        """Hear QoS 0 for ever."""
        unwanted = f"\r\n{QOS_HEADER}:1".encode()
        subscription = await self._bus.listen(UPLINKS_QOS0, self._heard, queue="ingest", unwanted=unwanted)
        try:
            await asyncio.Event().wait()
        finally:
            await subscription.unsubscribe()

    async def _settle_many(self, deliveries: list[Delivery], group: asyncio.TaskGroup) -> None:
        """Settle messages: the plain ones of a district together, each of the others by itself."""
        gathered: dict[str, tuple[Gathering, list[Delivery]]] = {}
        alone, answers = [], []
        for delivery in deliveries:
            try:
                uplink = stored_uplink(delivery.subject)
            except InvalidArgument:
                alone.append(delivery)
                continue
            if uplink.kind in _RESPONSES:
                # The durable of the answers has it as well, and settles it.
                answers.append(delivery)
                continue
            receipt_time_us = delivery.stored_ns // 1_000
            if uplink.district not in gathered:
                gathered[uplink.district] = (Gathering(Door.MQTT, uplink.district, receipt_time_us), [])
            gathering, taken = gathered[uplink.district]
            content_type = CONTENT_TYPES[uplink.kind]
            received = Received(Door.MQTT, uplink.district, uplink.device, receipt_time_us, content_type, delivery.body)
            (taken if gathering.take(received, self._unit_of) else alone).append(delivery)
        await acknowledge(self._bulk, answers)
        for left in await asyncio.gather(*(self._settle_gathered(*each) for each in gathered.values())):
            alone += left
        for delivery in alone:
            # A message that waits for the broker holds up no batch, until too many do.
            await self._room.acquire()
            task = group.create_task(settle(self._bulk, self._uplinks, delivery, self._handle, buried=self._buried))
            task.add_done_callback(lambda _: self._room.release())

    async def _settle_gathered(self, gathering: Gathering, taken: list[Delivery]) -> list[Delivery]:
        """Acknowledge what is stored; return what was left alone, which is all where the broker took nothing."""
        if not taken:
            return []
        alone: set[int] = set(range(len(taken)))
        try:
            with tracing.span("record_mqtt", messages=len(taken)):
                alone = set((await self._together(*gathering.batch())).tolist())
        except MaasloopError as error:
            log.info("mqtt_batch_refused", reason=error.reason, messages=len(taken))
        except Exception:
            log.exception("mqtt_batch_failed")
        await acknowledge(self._bulk, [each for number, each in enumerate(taken) if number not in alone])
        CONSUMED.labels(self._uplinks.name, "acked").inc(len(taken) - len(alone))
        return [taken[number] for number in sorted(alone)]

    async def _buried(self, delivery: Delivery) -> None:
        try:
            district = stored_uplink(delivery.subject).district
        except InvalidArgument:
            district = ""
        await self._give_up(district, Door.MQTT, delivery.id)

    async def _handle(self, delivery: Delivery) -> None:
        receipt_time_us = delivery.stored_ns // 1_000
        try:
            uplink = stored_uplink(delivery.subject)
        except InvalidArgument as error:
            # Nobody can be told, but it was acknowledged: it lies in quarantine.
            await self._refuse(
                error,
                door=Door.MQTT,
                district="",
                device="",
                receipt_time_us=receipt_time_us,
                content_type="",
                payload=delivery.body,
            )
            return
        with tracing.span("record_mqtt", messages=1):
            await self._take(uplink, delivery.body, receipt_time_us)

    async def _heard(self, message: Any) -> None:  # noqa: ANN401 - a message of the driver
        if (message.headers or {}).get(QOS_HEADER, "0") != "0":
            return
        if len(self._unproven) >= AT_ONCE_MAX:
            UNPROVEN.labels("shed").inc()
            return
        task = asyncio.create_task(self._take_unproven(str(message.subject), bytes(message.data)))
        self._unproven.add(task)
        task.add_done_callback(self._unproven.discard)

    async def _take_unproven(self, subject: str, body: bytes) -> None:
        try:
            await self._take(parse_uplink(subject), body, self._clock.now_us())
        except MaasloopError as error:
            UNPROVEN.labels(error.reason).inc()
        except Exception:
            log.exception("qos0_failed")
        else:
            UNPROVEN.labels("taken").inc()

    async def _take(self, uplink: UplinkSubject, payload: bytes, receipt_time_us: int) -> None:
        received = Received(
            Door.MQTT, uplink.district, uplink.device, receipt_time_us, CONTENT_TYPES[uplink.kind], payload
        )
        try:
            if uplink.kind in _RESPONSES:
                await self._respond(decode_response(received, uplink.kind))
                RESPONSES.labels("recorded").inc()
                return
            if len(payload) > PAYLOAD_MAX_BYTES:
                message = f"a payload has at most {PAYLOAD_MAX_BYTES} bytes"
                raise InvalidArgument(Reason.PAYLOAD_TOO_LARGE, message)
            recorded = await self._record(decode(received, self._unit_of))
        except InvalidArgument as error:
            recorded = await self._refuse(
                error,
                door=Door.MQTT,
                district=uplink.district,
                device=uplink.device,
                receipt_time_us=receipt_time_us,
                content_type=received.content_type,
                payload=payload,
            )
        if recorded.refused_count:
            await self._send_receipt(uplink, recorded, receipt_time_us)

    async def _send_receipt(self, uplink: UplinkSubject, recorded: Recorded, receipt_time_us: int) -> None:
        receipt = DeviceReceipt(
            receipt_time=timestamp_from_us(receipt_time_us),
            accepted_count=recorded.accepted_count,
            refusals=refusals(recorded)[:RECEIPT_REFUSALS_MAX],
            refused_count=recorded.refused_count,
        )
        body = MessageToJson(receipt, preserving_proto_field_name=True, indent=None).encode()
        await self._bus.tell(downlink(uplink.district, uplink.device, DownlinkKind.RECEIPTS), body)
