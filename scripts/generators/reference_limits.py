"""Writes ``limits.md``: every named constant with a unit, found in the sources.

A limit is a module constant whose name says what it bounds and ends with its unit (``PUBLISH_TIMEOUT_S``,
``MESSAGE_BYTES_MAX``). Its meaning is the text that follows it, or the comment above it.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from generators.pages import code, page, section, table

UNITS = re.compile(r"[A-Z][A-Z0-9_]*_(?:S|MS|US|NS|H|DAYS|BYTES|MAX|MIN|COUNT|LENGTH|PERCENT|W|M|KM_H)")
CONVERSIONS = ("DAY_S", "HOUR_S", "MINUTE_S")
"""Facts about units, no limits."""

_INTRODUCTION = """
Everything has a limit. The unit is the end of a name: `_S` seconds, `_MS` milliseconds, `_US` microseconds, `_BYTES`
bytes, `_PERCENT` percent, `_W` watts, `_M` metres; `_MAX` and `_MIN` bound a number of things. What can be set is in
[settings](settings.md); these are the rest.
"""


_DOORS = "What a sender, a caller or a listener meets first, and what it then hears ([reasons](error-reasons.md))."
_MET = (
    ("maasloop.ingest.domain.readings.PAYLOAD_MAX_BYTES", "A payload over MQTT, NATS or HTTP", "PAYLOAD_TOO_LARGE"),
    ("maasloop.ingest.entrypoints.rpc.REQUEST_MAX_BYTES", "A batch over gRPC", "PAYLOAD_TOO_LARGE"),
    ("maasloop.ingest.domain.readings.READINGS_MAX", "Readings of a text payload; words, places and counts of a batch", "PAYLOAD_TOO_LARGE"),
    ("maasloop.ingest.entrypoints.batches.PAIRS_MAX", "Devices times observed properties that a batch names", "COLUMNS_INCONSISTENT"),
    ("maasloop.ingest.domain.readings.DEPTH_MAX", "Depth of JSON and CBOR", "PAYLOAD_TOO_DEEP"),
    ("maasloop.ingest.adapters.resolving.AGE_MAX_US", "Age of a reading at receipt, where its retention is not shorter", "TIME_TOO_OLD"),
    ("maasloop.ingest.handlers.record_observations.FUTURE_MAX_US", "How far a reading may lie ahead", "TIME_IN_FUTURE"),
    ("maasloop.ingest.handlers.record_observations.STATE_BYTES_MAX", "A reading that is a word", "TEXT_INVALID"),
    ("maasloop.ingest.entrypoints.rpc.CALLS_MAX", "Batches over gRPC at once", "OVERLOADED"),
    ("maasloop.ingest.entrypoints.http.REQUESTS_MAX", "Requests over HTTP at once", "OVERLOADED"),
    ("maasloop.device_registry.domain.admission.CONNECTIONS_MAX", "Connections of a device's credential", "CONNACK 5"),
    ("maasloop.bus.accounts.INTEGRATOR_CONNECTIONS_MAX", "Connections of an integrator", "NATS refuses the connection"),
    ("maasloop.rpc.requests.PAGE_SIZE_MAX", "Resources of a page", "a page of as many"),
    ("maasloop.rpc.interceptor.UNARY_TIMEOUT_S", "A call without a deadline", "DEADLINE_EXCEEDED"),
    ("maasloop.rpc.server.CONCURRENT_CALLS_MAX", "Calls of a service at once", "OVERLOADED"),
    ("maasloop.rpc.server.METADATA_BYTES_MAX", "Metadata of a call", "RESOURCE_EXHAUSTED, without a reason"),
    ("maasloop.timeseries.handlers.read_observations.SPAN_MAX_US", "Range of ReadObservations", "RANGE_TOO_LONG"),
    ("maasloop.timeseries.handlers.read_observations.SERIES_MAX", "Series of ReadObservations", "RANGE_TOO_LONG"),
    ("maasloop.timeseries.entrypoints.rpc.BUCKETS_AN_ANSWER_MAX", "Buckets of AggregateObservations", "RANGE_TOO_LONG"),
    ("maasloop.timeseries.entrypoints.rpc.BUCKETS_A_STREAM_MAX", "Buckets of ReadAggregates", "RANGE_TOO_LONG"),
    ("maasloop.timeseries.adapters.tailing.WATCHES_MAX", "Watches of observations at once", "OVERLOADED"),
    ("maasloop.timeseries.adapters.tailing.SLOW_AFTER_S", "A watch that is not read", "CALLER_TOO_SLOW"),
    ("maasloop.device_registry.domain.importing.ROWS_MAX", "Rows of an import of devices", "IMPORT_ROW_INVALID"),
)  # fmt: skip
"""Limits that callers meet: where each is declared, what it bounds, and what is heard beyond it."""


class Limit(NamedTuple):
    """One constant."""

    module: str
    name: str
    value: str
    meaning: str


def limits_page(root: Path) -> str:
    """Return the page."""
    found = {
        member.name: [
            limit
            for path in sorted(member.glob("src/**/*.py"))
            if "_pb2" not in path.name
            for limit in limits(_module(member, path), path.read_text())
        ]
        for member in sorted(path.parent for path in root.glob("[ls]*s/*/pyproject.toml"))
    }
    values = {f"{limit.module}.{limit.name}": limit.value for some in found.values() for limit in some}
    met = [(what, code(values[place]), code(place.rpartition(".")[2]), heard) for place, what, heard in _MET]
    doors = section("At the doors", _DOORS, table(("what", "at most", "limit", "beyond it"), met))
    sections = [
        section(name, table(("limit", "value", "meaning", "module"), [_row(limit) for limit in some]))
        for name, some in found.items()
        if some
    ]
    return page("Limits", "constants in the sources", _INTRODUCTION, doors, *sections)


def _row(limit: Limit) -> tuple[str, str, str, str]:
    return (code(limit.name), code(limit.value), limit.meaning, limit.module)


def limits(module: str, source: str) -> Iterator[Limit]:
    """Yield the limits that a module declares."""
    lines = source.splitlines()
    body = ast.parse(source).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        for name, value in _constant(node):
            if UNITS.fullmatch(name) and name not in CONVERSIONS and _plain(value):
                yield Limit(module, name, ast.unparse(value), _text(following) or _comment(lines, node.lineno))


def _constant(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        yield node.targets[0].id, node.value
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        yield node.target.id, node.value


def _plain(value: ast.expr) -> bool:
    """Tell whether the value is a number, or made of numbers and names."""
    parts = (ast.Constant, ast.Name, ast.BinOp, ast.UnaryOp, ast.Tuple, ast.operator, ast.unaryop, ast.expr_context)
    texts = (each for each in ast.walk(value) if isinstance(each, ast.Constant) and isinstance(each.value, str))
    return all(isinstance(each, parts) for each in ast.walk(value)) and next(texts, None) is None


def _text(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return ""


def _comment(lines: list[str], number: int) -> str:
    """Return the comment behind the line, or the block above it."""
    behind = re.search(r"\s# (.*)$", lines[number - 1])
    if behind:
        return behind.group(1)
    above: list[str] = []
    while number > 1 and lines[number - 2].startswith("# "):
        number -= 1
        above.insert(0, lines[number - 1].removeprefix("# "))
    return " ".join(above)


def _module(member: Path, path: Path) -> str:
    return ".".join(path.relative_to(member / "src").with_suffix("").parts)
