"""What the connection of a device, or of a network server that speaks for radio devices, may publish and subscribe.

Allow-lists only. A device speaks on its own ``up`` subjects, whoever it speaks for; it hears its own ``down`` subjects
and those of the devices whose gateway it is. MQTT's own subjects (``$MQTT``) need no right: the server uses them for it.
"""

from collections.abc import Sequence

from maasloop.core.ids import require_id
from maasloop.identity.nats.claims import Rights, UserLimits

from .subjects import DEVICE_ROOT, DEVICE_VERSION

PAYLOAD_BYTES_MAX = 256 * 1024
"""Largest message of a device."""
SUBSCRIPTIONS_MAX = 10
"""Subscriptions of a device for itself; each device that it speaks for adds one of its own and one for MQTT's ``#``."""
SPOKEN_FOR_MAX = 1_000
"""Devices that one connection may listen for: the list travels in its token."""


def device_rights(district: str, device: str, speaks_for: Sequence[str] = ()) -> Rights:
    """Return the rights of a device; ``speaks_for`` are the ids of those whose gateway it is, in the same district."""
    heard = [device, *speaks_for[:SPOKEN_FOR_MAX]]
    return Rights(
        publish=(f"{_root(district, device)}.up.>",),
        subscribe=(*(f"{_root(district, each)}.down.>" for each in heard), f"_INBOX.{district}.{device}.>"),
    )


def device_limits(speaks_for: Sequence[str] = ()) -> UserLimits:
    """Return what the connection of a device may use."""
    return UserLimits(SUBSCRIPTIONS_MAX + 2 * len(speaks_for[:SPOKEN_FOR_MAX]), PAYLOAD_BYTES_MAX)


NETWORK_SERVER_RIGHTS = Rights(publish=("application.*.device.*.event.>",))
"""A LoRaWAN network server (ChirpStack) tells the events of its devices and hears nothing."""


def _root(district: str, device: str) -> str:
    return f"{DEVICE_ROOT}.{DEVICE_VERSION}.{require_id(district, 'district')}.{require_id(device, 'device')}"
