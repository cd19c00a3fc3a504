"""A collector of OTLP: a real server of the protocol that keeps what it hears."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Heard(NamedTuple):
    """A span."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    """Traces that it links to."""
    attributes: dict[str, str]


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps spans, and the names of metrics by service."""

    def __init__(self, *, whole: bool = False) -> None:
        """Have heard nothing; ``whole`` keeps every request as well, byte by byte."""
        self.lock = threading.Lock()
        self.requests: list[bytes] | None = [] if whole else None
        self._spans: list[Heard] = []
        self.metrics: dict[str, set[str]] = {}

    def Export(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802 - a method as gRPC names it
        """Take spans."""
        self.keep(request)
        with self.lock:
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    self._spans += [_heard(_service(resource), span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def keep(self, request: Any) -> None:  # noqa: ANN401 - a request of either kind
        """Remember the bytes of a request, where they are asked for."""
        if self.requests is not None:
            self.requests.append(request.SerializeToString())

    def spans(self, name: str = "", trace_id: str = "") -> list[Heard]:
        """Return the spans of a name, or of a trace."""
        with self.lock:
            return [one for one in self._spans if name in ("", one.name) and trace_id in ("", one.trace_id)]


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802 - a method as gRPC names it
        self._collector.keep(request)
        with self._collector.lock:
            for resource in request.resource_metrics:
                names = {metric.name for scope in resource.scope_metrics for metric in scope.metrics}
                self._collector.metrics.setdefault(_service(resource), set()).update(names)
        return metrics_service_pb2.ExportMetricsServiceResponse()


@contextmanager
def collecting(*, whole: bool = False) -> Iterator[tuple[Collector, str]]:
    """Run a collector, ``whole`` as ``Collector`` has it; gives it and its address."""
    collector = Collector(whole=whole)
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]  # generated code has no types
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(collector), server)  # type: ignore[no-untyped-call]  # as above
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield collector, f"http://127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def _service(resource: Any) -> str:  # noqa: ANN401 - messages of OTLP have no types
    found = [one.value.string_value for one in resource.resource.attributes if one.key == "service.name"]
    return str(found[0]).removeprefix("maasloop-")


def _heard(service: str, span: Any) -> Heard:  # noqa: ANN401 - messages of OTLP have no types
    return Heard(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        tuple(link.trace_id.hex() for link in span.links),
        {one.key: one.value.string_value for one in span.attributes},
    )
