"""Writes ``metrics.md``: every counter, gauge and histogram, found in the sources."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from generators.pages import code, page, section, table

KINDS = ("counter", "gauge", "histogram")
UNITS = ("seconds", "bytes", "ratio")

_INTRODUCTION = """
Every process serves its metrics at `/metrics` of its health address, in Prometheus' text format, and sends them by OTLP where
`otlp_metrics` says so. A label `reason` holds one of the [error reasons](error-reasons.md). Spans are listed in the
[explanation of observability](../explanations/observability.md).
"""


class Metric(NamedTuple):
    """One metric."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def unit(self) -> str:
        """What one is: the name says it, after the manner of Prometheus."""
        return next((word for word in UNITS if self.name.removesuffix("_total").endswith(word)), "count")


def metrics_page(root: Path) -> str:
    """Return the page."""
    sections = []
    for member in sorted(path.parent for path in root.glob("[ls]*s/*/pyproject.toml")):
        found = {each for path in member.glob("src/**/*.py") for each in metrics(path.read_text())}
        rows = [(code(each.name), each.kind, each.unit, ", ".join(each.labels), each.meaning) for each in sorted(found)]
        if rows:
            sections.append(section(member.name, table(("metric", "kind", "unit", "labels", "meaning"), rows)))
    return page("Metrics", "the sources", _INTRODUCTION, *sections)


def metrics(source: str) -> Iterator[Metric]:
    """Yield the metrics that a module asks for."""
    if not any(f"{kind}(" in source for kind in KINDS):
        return
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and (kind := _called(call.func)) in KINDS:
            known = [ast.literal_eval(argument) for argument in call.args[:3] if _plain(argument)]
            if known and str(known[0]).startswith("maasloop_"):
                name, meaning, *labels = known
                yield Metric(name, kind, tuple(labels[0]) if labels else (), meaning)


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _plain(argument: ast.expr) -> bool:
    kinds = (ast.Constant, ast.Tuple, ast.List, ast.expr_context)
    return all(isinstance(each, kinds) for each in ast.walk(argument))
