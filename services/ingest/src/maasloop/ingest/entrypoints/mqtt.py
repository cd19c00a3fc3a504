"""The MQTT door: what nats-server has sent a PUBACK for, read from the stream where that PUBACK is made.

A message is acknowledged to the stream after its readings, refusals and answers are stored; until then it comes again,
here or in another instance. While the broker takes nothing more, nothing is acknowledged, the server's stream fills, and
the server withholds its PUBACKs. A PUBACK carries no reason: refusals go to the device's ``down/receipts``, best effort.

QoS 0 is heard by a plain subscription, without custody and counted apart. Both see QoS 1 publishes, because nats-server
passes those on as well; a message that came over a QoS 1 publish carries a header by which it is left to the durable.

Tasks: ``pull`` keeps up to ``AT_ONCE_MAX`` messages on their way through the pipeline, each in a task of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from google.protobuf.json_format import MessageToJson

from maasloop.api.observation.v1.events_pb2 import DeviceReceipt
from maasloop.bus.connection import Bus
from maasloop.bus.consume import settle
from maasloop.bus.pull import Delivery, Pull
from maasloop.bus.streams import MQTT_UPLINKS
from maasloop.bus.subjects import (
    UPLINKS_QOS0,
    DownlinkKind,
    UplinkKind,
    UplinkSubject,
    downlink,
    parse_uplink,
    stored_uplink,
)
from maasloop.core.clock import Clock
from maasloop.core.errors import InvalidArgument, MaasloopError
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.ingest.domain.readings import PAYLOAD_MAX_BYTES
from maasloop.ingest.handlers.record_response import RecordResponse
from maasloop.ingest.handlers.refuse_payload import RefusePayload
from maasloop.ingest.ports import Batch
from maasloop.rpc.times import timestamp_from_us
from maasloop.telemetry.metrics import counter

from .answers import refusals
from .payloads import CONTENT_TYPES, Received, UnitOf, decode, decode_response

AT_ONCE_MAX = 128
"""Messages on their way through the pipeline, each at most as large as the broker takes."""
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

log = structlog.get_logger(__name__)


class MqttDoor:
    """What devices send."""

    def __init__(
        self,
        *,
        bus: Bus,
        record: Record,
        refuse: RefusePayload,
        respond: RecordResponse,
        unit_of: UnitOf,
        clock: Clock,
    ) -> None:
        """``record`` is the pipeline, ``refuse`` what becomes of a payload that is none."""
        self._bus = bus
        self._record = record
        self._refuse = refuse
        self._respond = respond
        self._unit_of = unit_of
        self._clock = clock
        self._unproven: set[asyncio.Task[None]] = set()

    async def pull(self, stop: asyncio.Event) -> None:
        """Take what PUBACKs were sent for until ``stop`` is set, then finish what is in hand."""
        async with Pull(self._bus, MQTT_UPLINKS, outstanding_max=AT_ONCE_MAX) as pull, asyncio.TaskGroup() as group:
            room = asyncio.Semaphore(AT_ONCE_MAX)
            while not stop.is_set():
                for delivery in await pull.take(AT_ONCE_MAX, wait_s=0.5):
                    await room.acquire()
                    group.create_task(self._settle(delivery)).add_done_callback(lambda _: room.release())

    async def hear_unproven(self) -> None:
        """Hear QoS 0 for ever."""
        subscription = await self._bus.listen(UPLINKS_QOS0, self._heard, queue="ingest")
        try:
            await asyncio.Event().wait()
        finally:
            await subscription.unsubscribe()

    async def _settle(self, delivery: Delivery) -> None:
        await settle(self._bus, MQTT_UPLINKS, delivery, self._handle)

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
            if uplink.kind in {UplinkKind.RESPONSES_JSON, UplinkKind.RESPONSES_PB}:
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
