"""The process's Prometheus registry, sent to an OTLP collector now and then: the same names, the same totals.

Thread: one, a daemon, that sleeps in between. What a collector does not take is dropped; the next sending has the totals.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import Metric as Family
from prometheus_client.samples import Sample

from maasloop.core.clock import SystemClock

from .metrics import REGISTRY

INTERVAL_S = 15.0
TIMEOUT_S = 5.0
_BUCKET, _COUNT, _SUM = "_bucket", "_count", "_sum"


def export_metrics_to(endpoint: str, service: str, interval_s: float = INTERVAL_S) -> "MetricsSender":
    """Send all metrics to an OTLP/gRPC endpoint from here on; once a process."""
    exporter = OTLPMetricExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"))
    sender = MetricsSender(exporter, Resource.create({"service.name": f"maasloop-{service}"}), interval_s)
    sender.start()
    return sender


class MetricsSender:
    """Reads the registry and sends it."""

    def __init__(self, exporter: OTLPMetricExporter, resource: Resource, interval_s: float) -> None:
        """Send by this exporter, as this process."""
        self._exporter = exporter
        self._resource = resource
        self._interval_s = interval_s
        self._clock = SystemClock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp-metrics", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def shut_down(self, timeout_s: float) -> None:
        """Send a last time."""
        self._ended.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._ended.wait(self._interval_s):
            self._send()
        self._send()

    def _send(self) -> None:
        scope = ScopeMetrics(
            InstrumentationScope("maasloop"), list(as_otlp(REGISTRY.collect(), self._clock.now_us() * 1_000)), ""
        )
        data = MetricsData([ResourceMetrics(self._resource, [scope], "")])
        # The exporter logs what fails and raises nothing.
        self._exporter.export(data, timeout_millis=TIMEOUT_S * 1_000)


def as_otlp(families: Iterable[Family], now_ns: int) -> Iterator[Metric]:
    """Yield the metrics in OTLP's terms; totals count from the start of the process, as Prometheus' do."""
    for family in families:
        if family.type == "histogram":
            yield Metric(family.name, family.documentation, "s", _histogram(family.samples, now_ns))
            continue
        wanted = f"{family.name}_total" if family.type == "counter" else family.name
        points = [
            NumberDataPoint(one.labels, _begun_ns(family.samples, one), now_ns, one.value)
            for one in family.samples
            if one.name == wanted
        ]
        if family.type == "counter":
            total = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
            yield Metric(wanted, family.documentation, "1", total)
        else:
            yield Metric(wanted, family.documentation, "", Gauge(points))


def _histogram(samples: Sequence[Sample], now_ns: int) -> Histogram:
    points = []
    for count in (one for one in samples if one.name.endswith(_COUNT)):
        cumulative, bounds, total = [], [], 0.0
        for one in samples:
            if {key: value for key, value in one.labels.items() if key != "le"} != count.labels:
                continue
            if one.name.endswith(_BUCKET):
                cumulative.append(int(one.value))
                bounds.append(float(one.labels["le"]))
            elif one.name.endswith(_SUM):
                total = one.value
        each = [upper - lower for lower, upper in zip([0, *cumulative], cumulative, strict=False)]
        points.append(
            HistogramDataPoint(
                attributes=count.labels,
                start_time_unix_nano=_begun_ns(samples, count),
                time_unix_nano=now_ns,
                count=int(count.value),
                sum=total,
                bucket_counts=each,
                # The last bound is infinite, which OTLP leaves out.
                explicit_bounds=bounds[:-1],
                min=0.0,
                max=0.0,
            )
        )
    return Histogram(points, AggregationTemporality.CUMULATIVE)


def _begun_ns(samples: Sequence[Sample], of: Sample) -> int:
    """Return since when a sample counts, 0 where nobody knows."""
    made = (one.value for one in samples if one.name.endswith("_created") and one.labels == of.labels)
    return int(next(made, 0.0) * 1e9)
