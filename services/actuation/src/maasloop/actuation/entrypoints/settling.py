"""The door for what drivers know of their commands, within this process."""

from maasloop.actuation import command_traces
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.handlers.record_answer import DeviceAnswer, RecordAnswer
from maasloop.actuation.ports import Ledger
from maasloop.core.clock import Clock
from maasloop.telemetry import tracing


class Settling:
    """Takes what drivers say; it is durable with the next commit."""

    def __init__(self, city: City, ledger: Ledger, record: RecordAnswer, clock: Clock) -> None:
        """Work on the city's state."""
        self._city = city
        self._ledger = ledger
        self._record = record
        self._clock = clock

    def settle(self, district: str, answer: DeviceAnswer) -> None:
        """Take what is known of a command."""
        found = self._city.district(district)
        told = command_traces.parent(district, answer.command)
        with tracing.follow("settle_command", told, command=answer.command, answer=str(answer.kind)):
            batch = self._record(found, answer, self._moment(found))
        if batch:
            self._ledger.defer(batch)

    def street_us(self, district: str) -> int:
        """Return now on a district's clock, in microseconds."""
        return self._moment(self._city.district(district)).street_us

    def _moment(self, district: District) -> Moment:
        wall_us = self._clock.now_us()
        return Moment(district.clock.now_us(wall_us, self._clock.monotonic_s()), wall_us)
