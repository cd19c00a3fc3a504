"""The one set-up of logging and tracing of a process.

Lines of structlog and of the standard library (grpc, psycopg, uvicorn) leave by the same processors, so that every
line has a UTC time, the bound context, the trace it belongs to, and no secret.
"""

import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Literal, TextIO

import structlog
from opentelemetry import trace

from . import tracing

LogFormat = Literal["console", "json"]

_at_flush: list[Callable[[float], None]] = []

_REDACTED = "[redacted]"
_SECRET_WORDS = ("password", "passwd", "secret", "token", "dsn", "authorization", "credential", "private_key")
_NOT_SECRET = frozenset({"page_token", "resume_token"})
# user:password@ of a URL, and password=… of a libpq connection string.
_SECRET_TEXT = re.compile(
    r"(?P<head>://[^\s:/@]*:)[^\s/@]+(?=@)|(?P<key>\bpassword\s*=\s*)('[^']*'|\S+)", re.IGNORECASE
)


def configure(
    service: str,
    *,
    log_format: LogFormat = "console",
    log_level: str = "info",
    otlp_endpoint: str | None = None,
    otlp_metrics: bool = False,
    traces_per_second_max: float = tracing.TRACES_PER_SECOND_MAX,
    stream: TextIO | None = None,
) -> None:
    """Set up logging to ``stream`` (standard error) and, if an OTLP endpoint is given, tracing to it.

    ``otlp_metrics`` sends the metrics there as well.
    """
    level = logging.getLevelNamesMapping()[log_level.upper()]
    output = sys.stderr if stream is None else stream
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _service_adder(service),
        _add_trace,
        *_exception_processors(log_format),
        _redact,
    ]
    renderer = _renderer(log_format, colours=output.isatty())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(output),
    )
    _route_standard_library(shared, renderer, level, output)
    if otlp_endpoint:
        tracing.export_to(otlp_endpoint, service, traces_per_second_max)
    if otlp_endpoint and otlp_metrics:
        # Imported here because the exporter costs start-up time that most processes never use.
        from .otlp_metrics import export_metrics_to  # noqa: PLC0415 - costs its start only where it is used

        sender = export_metrics_to(otlp_endpoint, service)
        _at_flush.append(sender.shut_down)


def flush(timeout_s: float = 5.0) -> None:
    """Send what tracing and metrics still hold; the last step of a shutdown."""
    tracing.shut_down(timeout_s)
    while _at_flush:
        _at_flush.pop()(timeout_s)


def _renderer(log_format: LogFormat, *, colours: bool) -> structlog.typing.Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer()
    # The default formatter shows local variables, which hold payloads and readings of persons.
    return structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)


def _exception_processors(log_format: LogFormat) -> list[structlog.typing.Processor]:
    # The console renderer prints the exception itself.
    return [structlog.processors.format_exc_info] if log_format == "json" else []


def _route_standard_library(
    shared: list[structlog.typing.Processor], renderer: structlog.typing.Processor, level: int, output: TextIO
) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for talkative in ("nats", "uvicorn.access", "asyncio", "grpc._cython.cygrpc"):
        logging.getLogger(talkative).setLevel(max(level, logging.WARNING))


def _service_adder(service: str) -> structlog.typing.Processor:
    def add_service(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401 - as structlog calls it
        event["service"] = service
        return event

    return add_service


def _add_trace(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401 - as structlog calls it
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401 - as structlog calls it
    for key, value in event.items():
        lowered = key.lower()
        if lowered not in _NOT_SECRET and any(word in lowered for word in _SECRET_WORDS):
            event[key] = _REDACTED
        elif isinstance(value, str):
            event[key] = without_secrets(value)
    return event


def without_secrets(text: str) -> str:
    """Return the text without passwords of URLs and connection strings."""
    if "://" not in text and "assword" not in text.lower():
        return text
    return _SECRET_TEXT.sub(lambda match: (match["head"] or match["key"]) + _REDACTED, text)
