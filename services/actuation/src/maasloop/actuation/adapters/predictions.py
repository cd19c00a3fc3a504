"""Tells predictions of signals once, without proof: who missed one takes the next."""

from collections.abc import Callable, Sequence

import structlog

from maasloop.actuation.domain.signal_prediction import SignalPrediction
from maasloop.bus import subjects
from maasloop.bus.connection import Bus
from maasloop.bus.envelope import Envelope
from maasloop.core.clock import Clock

_log = structlog.get_logger()


class PredictionVoice:
    """Publishes predictions."""

    def __init__(self, bus: Bus, encode: Callable[[SignalPrediction], bytes], source: str, clock: Clock) -> None:
        """Speak as ``source``."""
        self._bus = bus
        self._encode = encode
        self._source = source
        self._clock = clock

    async def tell(self, predictions: Sequence[SignalPrediction]) -> None:
        """Publish each prediction; without a link nothing is sent and nothing kept."""
        if not self._bus.connected:
            return
        fact = subjects.SIGNAL_PREDICTED
        for one in predictions:
            message_id = f"{one.district}-{one.device}-{one.street_second}-{fact.verb}"
            envelope = Envelope(message_id, fact.message, self._source, self._clock.now_us())
            try:
                await self._bus.tell(fact.subject(one.district, one.device), self._encode(one), envelope.headers())
            except Exception as error:
                _log.warning("prediction_not_told", device=one.device, error=repr(error))
                return
