"""The envelope of a fact: CloudEvents 1.0 in binary mode over NATS headers, with W3C trace context.

The body is the protobuf message that ``ce-type`` names. ``Nats-Msg-Id`` equals ``ce-id``, so that JetStream drops a
re-sent fact inside its de-duplication window.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from maasloop.core.clock import from_us
from maasloop.core.errors import InvalidArgument

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/protobuf"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands on the outside of a fact."""

    id: str
    """Unique for ever within the source; also the message id of JetStream."""
    type: str
    """Full name of the protobuf message."""
    source: str
    """Service and instance, for example ``maasloop/ingest/7f3a``."""
    time_us: int
    """When the fact was published: microseconds since the epoch."""
    traceparent: str = ""
    """W3C trace context, or empty."""

    def headers(self) -> dict[str, str]:
        """Return the NATS headers."""
        headers = {
            "ce-specversion": SPEC_VERSION,
            "ce-id": self.id,
            "ce-type": self.type,
            "ce-source": self.source,
            "ce-time": from_us(self.time_us).isoformat().replace("+00:00", "Z"),
            "ce-datacontenttype": CONTENT_TYPE,
            "Nats-Msg-Id": self.id,
        }
        if self.traceparent:
            headers["traceparent"] = self.traceparent
        return headers


def message_type(headers: Mapping[str, str] | None) -> str:
    """Return the ``ce-type`` of a fact; a message without an envelope is refused."""
    found = (headers or {}).get("ce-type", "")
    if not found:
        raise InvalidArgument("PAYLOAD_UNDECODABLE", "the message has no CloudEvents envelope (no ce-type header)")
    return found


def traceparent(headers: Mapping[str, str] | None) -> str:
    """Return the trace context of a fact, or an empty text."""
    return (headers or {}).get("traceparent", "")
