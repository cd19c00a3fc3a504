"""Metrics of the service, in one place."""

from maasloop.telemetry import metrics

CONNECTS = metrics.counter(
    "maasloop_device_registry_connects_total", "Clients at the door of the broker, by outcome", ["outcome"]
)
REFUSED_HOLDERS = metrics.gauge(
    "maasloop_device_registry_refused_holders", "Holders in whose name this replica refused clients in the last round"
)
CONNECT_SECONDS = metrics.histogram(
    "maasloop_device_registry_connect_seconds", "From the broker's question about a client to the answer"
)
CONNECTIONS = metrics.gauge(
    "maasloop_device_registry_connections", "Connections of devices that are recorded, when they were last compared"
)
UNCLOSED = metrics.gauge(
    "maasloop_device_registry_unclosed_connections",
    "Connections without a right that are not gone, because their server does not answer",
)
