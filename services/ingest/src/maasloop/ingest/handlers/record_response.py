"""Record what a device answered to a command, so that whoever issued it hears of it however often it restarts."""

from collections.abc import Callable
from dataclasses import dataclass

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.ingest.ports import ResponsePublisher

REASON_BYTES_MAX = 256


@dataclass(frozen=True, slots=True)
class Response:
    """A decoded answer; ``body`` is its wire form."""

    district: str
    sender: str
    device: str
    body: bytes
    receipt_time_us: int


class RecordResponse:
    """The answer's way through ingest."""

    def __init__(self, *, speaks_for: Callable[[str, str, str], bool], publisher: ResponsePublisher) -> None:
        """``speaks_for(district, sender, device)`` is the gateway rule."""
        self._speaks_for = speaks_for
        self._publisher = publisher

    async def __call__(self, response: Response) -> None:
        """Publish the answer, or refuse one that is given for a foreign device (DEVICE_FOREIGN)."""
        if not self._speaks_for(response.district, response.sender, response.device):
            message = f"{response.sender} does not speak for {response.device}"
            raise InvalidArgument(Reason.DEVICE_FOREIGN, message)
        await self._publisher.respond(response.district, response.device, response.body, response.receipt_time_us)
