"""Counters, gauges and histograms of a process, on a registry of its own.

Names are ``maasloop_<service>_<noun>_<unit>``, and counters end in ``_total``. Asking twice for the same name gives the
same metric, so that the parts of a process need not know of each other; asking for another shape is an error.
"""

import re
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics import MetricWrapperBase

CONTENT_TYPE = CONTENT_TYPE_LATEST
REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)

# From a cached answer to a call that nearly timed out.
SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_NAME = re.compile(r"maasloop_[a-z][a-z0-9_]*")
_metrics: dict[str, tuple[MetricWrapperBase, tuple[str, ...]]] = {}


def counter(name: str, description: str, labels: Sequence[str] = ()) -> Counter:
    """Return the counter of this name; the name ends in ``_total``."""
    if not name.endswith("_total"):
        message = f"a counter's name ends in _total; got {name}"
        raise ValueError(message)
    return _known(Counter, name, labels) or _keep(name, labels, Counter(name, description, labels, registry=REGISTRY))


def gauge(name: str, description: str, labels: Sequence[str] = ()) -> Gauge:
    """Return the gauge of this name."""
    return _known(Gauge, name, labels) or _keep(name, labels, Gauge(name, description, labels, registry=REGISTRY))


def histogram(
    name: str, description: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS_BUCKETS
) -> Histogram:
    """Return the histogram of this name; its buckets are those of the first who asked."""
    return _known(Histogram, name, labels) or _keep(
        name, labels, Histogram(name, description, labels, registry=REGISTRY, buckets=buckets)
    )


def render() -> bytes:
    """Return all metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)


def value(name: str, **labels: str) -> float:
    """Return the present value of a sample, 0 if it was never touched; for tests and status pages."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def _known[Metric: MetricWrapperBase](kind: type[Metric], name: str, labels: Sequence[str]) -> Metric | None:
    if not _NAME.fullmatch(name):
        message = f"a metric's name begins with maasloop_ and is snake_case; got {name}"
        raise ValueError(message)
    if name not in _metrics:
        return None
    metric, known_labels = _metrics[name]
    if not isinstance(metric, kind) or known_labels != tuple(labels):
        message = f"metric {name} exists as {type(metric).__name__} with labels {known_labels}"
        raise ValueError(message)
    return metric


def _keep[Metric: MetricWrapperBase](name: str, labels: Sequence[str], metric: Metric) -> Metric:
    _metrics[name] = (metric, tuple(labels))
    return metric
