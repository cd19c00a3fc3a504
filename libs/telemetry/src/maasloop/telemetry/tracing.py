"""Traces across processes: the W3C ``traceparent`` as a plain string, and spans that cost nothing when nobody looks.

Without an OTLP endpoint there is no tracer provider: a span then only carries a caller's ``traceparent`` on to whoever
is called next.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Link, Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from maasloop.core.clock import SystemClock

TRACEPARENT = "traceparent"
TRACES_PER_SECOND_MAX = 10.0

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACER = trace.get_tracer("maasloop")
_NOT_FOLLOWED = nullcontext(trace.INVALID_SPAN)
_EXPORTED_TO: list[str] = []
"""Where spans go; OpenTelemetry looks into the environment each time it is asked for a provider that is not there."""


def inject() -> str:
    """Return the ``traceparent`` of the current span, or an empty string outside any."""
    if not trace.get_current_span().get_span_context().is_valid:
        return ""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(TRACEPARENT, "")


def sampled(traceparent: str) -> bool:
    """Tell whether the trace that a ``traceparent`` names is recorded."""
    flags = traceparent.rpartition("-")[2]
    return bool(int(flags or "0", 16) & trace.TraceFlags.SAMPLED)


def extract(traceparent: str | None) -> otel_context.Context:
    """Return the context that a ``traceparent`` names; a malformed one names none."""
    return _PROPAGATOR.extract({TRACEPARENT: traceparent} if traceparent else {}, context=otel_context.Context())


def span(
    name: str, *, parent: str | None = None, cause: str | None = None, **attributes: AttributeValue
) -> AbstractContextManager[Span]:
    """Run the block in a span of this name, below ``parent`` (a ``traceparent``) or below the current span.

    ``cause`` is the ``traceparent`` of another trace that led to it, which becomes a link.
    """
    if not _exporting():
        return _carried(parent) if parent else _NOT_FOLLOWED
    context = extract(parent) if parent else None
    links = [Link(_span_context(cause))] if cause else []
    return _TRACER.start_as_current_span(name, context=context, attributes=attributes, links=links)


def follow(
    name: str, parent: str | None, *, cause: str | None = None, **attributes: AttributeValue
) -> AbstractContextManager[Span | None]:
    """Run the block in a span below ``parent``; without one in none, so that no trace begins here."""
    return span(name, parent=parent, cause=cause, **attributes) if parent else nullcontext()


def export_to(endpoint: str, service: str, traces_per_second_max: float = TRACES_PER_SECOND_MAX) -> None:
    """Send spans to an OTLP/gRPC endpoint from here on, of so many traces that begin here; once a process."""
    # Imported here because the SDK and its exporter cost start-up time that most processes never use.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - costs its start only where it is used
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - costs its start only where it is used
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - costs its start only where it is used
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - costs its start only where it is used

    from .sampling import sampler  # noqa: PLC0415 - costs its start only where it is used

    provider = TracerProvider(
        resource=Resource.create({"service.name": f"maasloop-{service}"}),
        sampler=sampler(traces_per_second_max, SystemClock()),
    )
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    _EXPORTED_TO.append(endpoint)


def shut_down(timeout_s: float) -> None:
    """Send the spans that wait, for at most ``timeout_s``."""
    provider = trace.get_tracer_provider()
    force_flush = getattr(provider, "force_flush", None)
    if force_flush is not None:
        force_flush(timeout_millis=int(timeout_s * 1_000))


def _span_context(traceparent: str) -> trace.SpanContext:
    return trace.get_current_span(extract(traceparent)).get_span_context()


def _exporting() -> bool:
    return bool(_EXPORTED_TO)


@contextmanager
def _carried(parent: str) -> Iterator[Span]:
    token = otel_context.attach(extract(parent))
    try:
        yield trace.INVALID_SPAN
    finally:
        otel_context.detach(token)
