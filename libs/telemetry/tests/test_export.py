"""With an OTLP endpoint spans leave the process; a real collector of the protocol hears them."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PROGRAM = """
import sys
from maasloop.telemetry import configure, flush, tracing
configure("ingest", otlp_endpoint=sys.argv[1])
with tracing.span("outer", parent=sys.argv[2], district="noord"):
    print(tracing.inject())
flush()
"""


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what is exported to it."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.heard = threading.Event()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802 - a method as gRPC names it
        """Take spans."""
        self.requests.append(request)
        self.heard.set()
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture(name="collector")
def _collector() -> Iterator[tuple[Collector, str]]:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]  # generated code has no types
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield collector, f"http://127.0.0.1:{port}"
    server.stop(0).wait()


def test_spans_reach_a_collector_below_their_parent(collector: tuple[Collector, str]) -> None:
    """The last step of a shutdown sends what is held: name, service, attributes, and the caller's trace."""
    kept, endpoint = collector

    # A process of its own, because a provider is set once a process.
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, endpoint, PARENT], capture_output=True, text=True, timeout=30, check=True
    )

    assert kept.heard.wait(5)
    (resource_spans,) = kept.requests[0].resource_spans
    (span,) = resource_spans.scope_spans[0].spans
    services = [a.value.string_value for a in resource_spans.resource.attributes if a.key == "service.name"]
    assert services == ["maasloop-ingest"]
    assert (span.name, span.attributes[0].value.string_value) == ("outer", "noord")
    assert span.trace_id.hex() == PARENT.split("-")[1]
    assert span.parent_span_id.hex() == PARENT.split("-")[2]
    assert ended.stdout.strip() == f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"
