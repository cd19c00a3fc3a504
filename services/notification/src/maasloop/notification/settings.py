"""Settings of notification: ``MAASLOOP_NOTIFICATION__…``."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, IPvAnyNetwork

from maasloop.notification.domain.delivery import PAUSES_S
from maasloop.runtime.settings import ServiceSettings

PAUSE_MAX_S = 7 * 86_400.0
LEASE_MIN_S = 1.0
LEASE_MAX_S = 600.0


class NotificationSettings(ServiceSettings, service="notification"):
    """What notification can be told."""

    keys: ClassVar[tuple[str, ...]] = ("webhook_key_file",)

    device_registry_address: str = "127.0.0.1:50052"
    """Host and port of the registry, which says what clock a district has."""
    smtp_host: str = "127.0.0.1"
    """Host of the mail server that takes our mail."""
    smtp_port: int = Field(default=25, ge=1, le=65_535)
    """Port of the mail server."""
    smtp_sender: str = Field(default="maasloop@localhost", pattern=r"^[^\s@]+@[^\s@]+$")
    """Address that mail comes from; its domain is also that of Message-IDs."""
    webhook_key_file: Path | None = None
    """File of the keys (base64 of 32 bytes a line, the newest first) that seal the secrets of webhooks in the
    database."""
    webhook_networks: tuple[IPvAnyNetwork, ...] = ()
    """Networks beside the public internet in which webhooks are called, on every port (``10.20.0.0/16``)."""
    webhook_ports: tuple[Annotated[int, Field(ge=1, le=65_535)], ...] = (80, 443)
    """Ports of the public internet on which webhooks are called."""
    mass_subscriptions_min: int = Field(default=100, ge=1, le=1_000)
    """Subscriptions of a category from which a rule for it needs a second person before it tells anybody."""
    alerts_per_rule_minute_max: int = Field(default=60, ge=1, le=100_000)
    """Alerts that one rule raises a minute; what is beyond is counted and not raised."""
    retry_pauses_s: tuple[Annotated[float, Field(ge=0, le=PAUSE_MAX_S)], ...] = Field(
        default=PAUSES_S, min_length=1, max_length=32
    )
    """Pause in seconds after each failed attempt to deliver; after the last one the delivery is given up."""
    delivery_lease_s: float = Field(default=60.0, ge=LEASE_MIN_S, le=LEASE_MAX_S)
    """Seconds after which an attempt whose process died is made again; longer than any channel takes."""
    postgres_connections_max: int = Field(default=8, ge=3, le=100)
    """Most connections to the database."""
