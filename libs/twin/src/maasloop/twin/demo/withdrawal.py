"""The story of one consent: half-way a citizen withdraws it, and from then on her readings are refused and hidden."""

import asyncio
from dataclasses import dataclass

import structlog

from maasloop.api.consent.v1.consent_service_pb2 import WithdrawConsentRequest
from maasloop.api.consent.v1.consent_service_pb2_grpc import ConsentServiceStub
from maasloop.api.observation.v1.series_service_pb2 import ListLatestObservationsRequest, SeriesSelection
from maasloop.api.observation.v1.series_service_pb2_grpc import SeriesServiceStub
from maasloop.core.clock import Clock
from maasloop.core.errors import MaasloopError
from maasloop.core.ids import DistrictName
from maasloop.rpc.client import call
from maasloop.twin.demo.places import Connections
from maasloop.twin.play.tally import Tally

HIDDEN_WITHIN_S = 5.0
POLL_S = 0.05

log = structlog.get_logger(__name__)


@dataclass
class Withdrawal:
    """What was seen of it; times in seconds of wall time after the answer to the withdrawal."""

    visible_before: int = 0
    refused_after_s: float | None = None
    hidden_after_s: float | None = None


class ConsentStory:
    """Withdraws the consent of a person and watches what follows."""

    def __init__(
        self, connections: Connections, district: str, record: str, device: str, tally: Tally, clock: Clock
    ) -> None:
        """Tell the story of one consent record and the device that its person carries."""
        self.seen = Withdrawal()
        self._consent = ConsentServiceStub(connections.consent)
        self._series = SeriesServiceStub(connections.timeseries)
        self._selection = SeriesSelection(parent=str(DistrictName(district)), devices=[device])
        self._record = record
        self._tally = tally
        self._clock = clock

    async def tell(self) -> None:
        """Withdraw, then wait until readings are refused and those from before are hidden, at most a while."""
        self.seen.visible_before = await self._visible()
        refused_before = self._tally.consent_refusals
        await call(self._consent.WithdrawConsent, WithdrawConsentRequest(name=self._record))
        began_s = self._clock.monotonic_s()
        while self._since(began_s) < HIDDEN_WITHIN_S:
            if self.seen.refused_after_s is None and self._tally.consent_refusals > refused_before:
                self.seen.refused_after_s = self._since(began_s)
            if self.seen.hidden_after_s is None and await self._visible() == 0:
                self.seen.hidden_after_s = self._since(began_s)
            if self.seen.refused_after_s is not None and self.seen.hidden_after_s is not None:
                break
            await asyncio.sleep(POLL_S)

    def _since(self, began_s: float) -> float:
        return self._clock.monotonic_s() - began_s

    async def _visible(self) -> int:
        request = ListLatestObservationsRequest(selection=self._selection)
        try:
            return len((await call(self._series.ListLatestObservations, request)).observations)
        except MaasloopError as error:
            log.warning("latest_not_read", why=error.message)
            return -1
