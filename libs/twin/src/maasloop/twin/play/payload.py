"""One thing that one device says in one second, and through which door."""

from dataclasses import dataclass, field
from enum import StrEnum

from maasloop.twin.devices.readings import Reading


class Voice(StrEnum):
    """How a device speaks."""

    MQTT_PB = "mqtt-pb"
    MQTT_JSON = "mqtt-json"
    HTTP_SENML = "http-senml"
    HTTP_JSON = "http-json"
    GRPC = "grpc"
    NATS = "nats"


@dataclass
class Payload:
    """Readings of the second at hand, and ``extra`` ones that misbehave or are of another second."""

    device: str
    voice: Voice
    readings: list[Reading]
    personal: bool = False
    extra: list[Reading] = field(default_factory=list)

    @property
    def everything(self) -> list[Reading]:
        """Return all that is sent."""
        return [*self.readings, *self.extra]
