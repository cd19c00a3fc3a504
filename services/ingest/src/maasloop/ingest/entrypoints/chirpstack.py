"""The LoRaWAN door: uplink events that a ChirpStack network server publishes over MQTT with QoS 1.

They lie in the stream where their PUBACK was made, as those of other devices do, and are read by a durable of their own.
An event is acknowledged to the stream after its readings, or its refusal, are stored. There is nobody to send a receipt
to: a refusal lies in quarantine.

Tasks: ``pull`` keeps up to ``AT_ONCE_MAX`` events on their way through the pipeline, each in a task of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable

from maasloop.bus.connection import Bus
from maasloop.bus.consume import settle
from maasloop.bus.pull import Delivery, Pull
from maasloop.bus.streams import CHIRPSTACK_UPLINKS
from maasloop.core.errors import InvalidArgument
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.ingest.handlers.refuse_payload import RefusePayload
from maasloop.ingest.ports import Batch

from .batches import NameOf, Received, UnitOf
from .events import CHIRPSTACK, Unreadable, decode_event

AT_ONCE_MAX = 64

type Record = Callable[[Batch], Awaitable[Recorded]]
type GiveUp = Callable[[str, Door, str], Awaitable[None]]


class ChirpstackDoor:
    """What LoRaWAN devices send."""

    def __init__(
        self,
        *,
        bus: Bus,
        record: Record,
        refuse: RefusePayload,
        give_up: GiveUp,
        name_of: NameOf,
        unit_of: UnitOf,
    ) -> None:
        """``record`` is the pipeline, ``refuse`` what becomes of an event that gives no readings.

        ``give_up(district, door, message id)`` counts an event that became a dead letter; nobody knows its district.
        """
        self._bus = bus
        self._record = record
        self._refuse = refuse
        self._give_up = give_up
        self._name_of = name_of
        self._unit_of = unit_of

    async def pull(self, stop: asyncio.Event) -> None:
        """Take events until ``stop`` is set, then finish what is in hand."""
        async with (
            Pull(self._bus, CHIRPSTACK_UPLINKS, outstanding_max=AT_ONCE_MAX) as pull,
            asyncio.TaskGroup() as group,
        ):
            room = asyncio.Semaphore(AT_ONCE_MAX)
            while not stop.is_set():
                for delivery in await pull.take(AT_ONCE_MAX, wait_s=0.5):
                    await room.acquire()
                    group.create_task(self._settle(delivery)).add_done_callback(lambda _: room.release())

    async def _settle(self, delivery: Delivery) -> None:
        await settle(self._bus, CHIRPSTACK_UPLINKS, delivery, self._handle, buried=self._buried)

    async def _buried(self, delivery: Delivery) -> None:
        await self._give_up("", Door.CHIRPSTACK, delivery.id)

    async def _handle(self, delivery: Delivery) -> None:
        received = Received(Door.CHIRPSTACK, "", "", delivery.stored_ns // 1_000, CHIRPSTACK, delivery.body)
        try:
            batch = decode_event(received, self._name_of, self._unit_of)
        except InvalidArgument as error:
            named = error.named if isinstance(error, Unreadable) else None
            await self._refuse(
                error,
                door=Door.CHIRPSTACK,
                district=named.district if named else "",
                device=named.device if named else "",
                receipt_time_us=received.receipt_time_us,
                content_type=received.content_type,
                payload=received.payload,
            )
            return
        await self._record(batch)
