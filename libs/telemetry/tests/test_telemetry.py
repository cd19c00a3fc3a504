"""Logging says when and which trace, never a secret; metrics are shared by name; traces cross processes as a string."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from maasloop.telemetry import configure, metrics, tracing
from maasloop.telemetry.configuration import without_secrets

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def _lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_has_utc_time_service_level_and_fields() -> None:
    """A structlog event leaves as one JSON object with everything a reader needs."""
    stream = io.StringIO()
    configure("ingest", log_format="json", stream=stream)

    structlog.get_logger().info("observation_recorded", count=3)

    (line,) = _lines(stream)
    assert (line["event"], line["service"], line["level"], line["count"]) == (
        "observation_recorded",
        "ingest",
        "info",
        3,
    )
    assert str(line["timestamp"]).endswith("Z")


def test_lines_of_the_standard_library_take_the_same_way() -> None:
    """A library's own log line is JSON too, with its logger's name."""
    stream = io.StringIO()
    configure("ingest", log_format="json", stream=stream)

    logging.getLogger("psycopg.pool").warning("lost %s", "it")

    (line,) = _lines(stream)
    assert (line["event"], line["logger"], line["service"]) == ("lost it", "psycopg.pool", "ingest")


def test_lines_below_the_level_are_dropped() -> None:
    """Debug is silent at level info, on both ways."""
    stream = io.StringIO()
    configure("ingest", log_format="json", log_level="info", stream=stream)

    structlog.get_logger().debug("detail")
    logging.getLogger("x").debug("detail")

    assert stream.getvalue() == ""


def test_secrets_never_leave() -> None:
    """Values of secret-looking keys, and passwords inside URLs, are redacted."""
    stream = io.StringIO()
    configure("ingest", log_format="json", stream=stream)

    structlog.get_logger().info(
        "opened", postgres_dsn="x", api_token="y", url="nats://me:hunter2@host:4222", page_token="p"
    )

    (line,) = _lines(stream)
    assert (line["postgres_dsn"], line["api_token"], line["page_token"]) == ("[redacted]", "[redacted]", "p")
    assert line["url"] == "nats://me:[redacted]@host:4222"


def test_passwords_of_connection_strings_are_removed() -> None:
    """A libpq connection string in a message loses its password only."""
    text = 'connection to "host=x password=hunter2 user=y" failed'

    assert without_secrets(text) == 'connection to "host=x password=[redacted] user=y" failed'


def test_a_line_inside_a_span_names_its_trace() -> None:
    """The trace id of a caller reaches the log also when nothing is exported."""
    stream = io.StringIO()
    configure("ingest", log_format="json", stream=stream)

    with tracing.span("handle", parent=TRACEPARENT):
        structlog.get_logger().info("handled")

    (line,) = _lines(stream)
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


def test_a_caller_s_traceparent_is_carried_on() -> None:
    """What comes in goes out, and is gone after the block."""
    with tracing.span("handle", parent=TRACEPARENT):
        assert tracing.inject() == TRACEPARENT

    assert tracing.inject() == ""


@pytest.mark.parametrize("text", ["", "nonsense", "00-zz-zz-01"])
def test_a_malformed_traceparent_names_nothing(text: str) -> None:
    """A foreign string never breaks the handling of a message."""
    with tracing.span("handle", parent=text):
        assert tracing.inject() == ""


def test_asking_twice_gives_the_same_metric() -> None:
    """Two parts of a process that name the same counter count together."""
    metrics.counter("maasloop_test_things_total", "things", ["kind"]).labels("a").inc()
    metrics.counter("maasloop_test_things_total", "things", ["kind"]).labels("a").inc(2)

    assert metrics.value("maasloop_test_things_total", kind="a") == 3
    assert b'maasloop_test_things_total{kind="a"} 3.0' in metrics.render()


def test_another_shape_under_the_same_name_is_an_error() -> None:
    """A name has one kind and one set of labels."""
    metrics.gauge("maasloop_test_level", "level")

    with pytest.raises(ValueError, match="exists as Gauge"):
        metrics.gauge("maasloop_test_level", "level", ["kind"])


def test_a_name_outside_the_grammar_is_an_error() -> None:
    """Names begin with maasloop_ and counters end in _total."""
    with pytest.raises(ValueError, match="begins with maasloop_"):
        metrics.gauge("queue", "queue")
    with pytest.raises(ValueError, match="ends in _total"):
        metrics.counter("maasloop_test_things", "things")
