"""The registry in OTLP's terms: the same names, totals and buckets."""

from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as PrometheusCounter
from prometheus_client import Gauge as PrometheusGauge
from prometheus_client import Histogram as PrometheusHistogram

from maasloop.telemetry.otlp_metrics import as_otlp

NOW_NS = 2_000_000_000


def test_totals_states_and_distributions() -> None:
    """A counter is a monotonic sum since its beginning, a gauge a gauge, and a histogram keeps its buckets apart."""
    registry = CollectorRegistry(auto_describe=True)
    PrometheusCounter("a_total", "Things.", ["kind"], registry=registry).labels("x").inc(3)
    PrometheusGauge("b_ratio", "Fill.", registry=registry).set(0.5)
    seconds = PrometheusHistogram("c_seconds", "Time.", ["door"], registry=registry, buckets=(1.0, 2.0))
    for value in (0.5, 1.5, 1.5, 9.0):
        seconds.labels("mqtt").observe(value)

    found = {one.name: one for one in as_otlp(registry.collect(), NOW_NS)}

    assert found.keys() == {"a_total", "b_ratio", "c_seconds"}
    total, fill, times = (found[name].data for name in ("a_total", "b_ratio", "c_seconds"))
    assert isinstance(total, Sum)
    assert total.is_monotonic
    assert [(dict(one.attributes or {}), one.value) for one in total.data_points] == [({"kind": "x"}, 3.0)]
    assert total.data_points[0].start_time_unix_nano > 0
    assert isinstance(fill, Gauge)
    assert [one.value for one in fill.data_points] == [0.5]
    assert isinstance(times, Histogram)
    (point,) = times.data_points
    assert (point.count, point.sum, list(point.bucket_counts)) == (4, 12.5, [1, 2, 1])
    assert (list(point.explicit_bounds), dict(point.attributes or {})) == ([1.0, 2.0], {"door": "mqtt"})
