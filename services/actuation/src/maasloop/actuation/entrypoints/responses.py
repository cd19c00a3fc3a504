"""The door for what devices answer: pulls responses, records them, acknowledges when they are durable.

Task: ``run``.
"""

import asyncio
from collections.abc import Sequence

from maasloop.actuation import command_traces
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.entrypoints.steps import Steps
from maasloop.actuation.handlers.record_answer import AnswerKind, DeviceAnswer, RecordAnswer
from maasloop.api.observation.v1.events_pb2 import DeviceResponse, ResponseRecorded
from maasloop.bus.connection import Bus
from maasloop.bus.consume import bury
from maasloop.bus.pull import Delivery, Pull
from maasloop.bus.streams import SETTLEMENTS
from maasloop.telemetry import tracing

TAKE_MAX = 256
TAKE_WAIT_S = 0.5

_KINDS = {
    DeviceResponse.ANSWER_ACKNOWLEDGED: AnswerKind.ACKNOWLEDGED,
    DeviceResponse.ANSWER_REFUSED: AnswerKind.REFUSED,
    DeviceResponse.ANSWER_COMPLETED: AnswerKind.COMPLETED,
}


class ResponseStream:
    """Hears what devices answer."""

    def __init__(self, bus: Bus, record: RecordAnswer, steps: Steps) -> None:
        """Pull over the bus."""
        self._bus = bus
        self._record = record
        self._steps = steps

    async def run(self, stop: asyncio.Event) -> None:
        """Pull until told to stop; what is in hand is finished."""
        async with Pull(self._bus, SETTLEMENTS, outstanding_max=TAKE_MAX * 4) as pull:
            while not stop.is_set():
                deliveries = await pull.take(TAKE_MAX, wait_s=TAKE_WAIT_S)
                if deliveries:
                    await self._handle(deliveries)

    async def _handle(self, deliveries: Sequence[Delivery]) -> None:
        batch = Batch()
        good = []
        for delivery in deliveries:
            try:
                recorded = ResponseRecorded.FromString(delivery.body)
            except Exception as error:
                await bury(self._bus, SETTLEMENTS, delivery, error)
                continue
            good.append(delivery)
            told = command_traces.parent(recorded.district, recorded.response.command_id)
            cause = delivery.headers.get(tracing.TRACEPARENT)
            with tracing.follow("acknowledge_command", told, cause=cause, command=recorded.response.command_id):
                batch.merge(self._recorded(recorded))
        await self._steps.ledger.commit(batch, urgent=False)
        for delivery in good:
            await delivery.ack()

    def _recorded(self, recorded: ResponseRecorded) -> Batch:
        kind = _KINDS.get(recorded.response.answer)
        if kind is None:
            return Batch()
        district = self._steps.city.district(recorded.district)
        response = recorded.response
        answer = DeviceAnswer(response.device, response.command_id, kind, response.reason)
        return self._record(district, answer, self._steps.moment(district))
