"""Which traces are recorded: so many a second that begin in this process, and what others began within another bound.

A share of all traces would grow with the load, just when nobody needs more of them.
"""

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from maasloop.core.clock import Clock

JOINED_PER_BEGUN = 50
"""Spans below somebody else's, for each trace that may begin here: a caller that samples everything is bounded too."""


class BoundedSampler(Sampler):
    """Takes spans at a rate, with a burst of one second; spans beyond are dropped."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        """``per_second`` = 0 takes none."""
        self._per_second = per_second
        self._clock = clock
        self._left = max(per_second, 1.0) if per_second else 0.0
        self._filled_s = clock.monotonic_s()

    def should_sample(  # noqa: PLR0917 - the signature is OpenTelemetry's
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Take the span, if there is room."""
        now_s = self._clock.monotonic_s()
        full = max(self._per_second, 1.0)
        self._left = min(full, self._left + (now_s - self._filled_s) * self._per_second)
        self._filled_s = now_s
        if self._left < 1.0:
            return SamplingResult(Decision.DROP, None, trace_state)
        self._left -= 1.0
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, trace_state)

    def get_description(self) -> str:
        """Return what a collector shows."""
        return f"BoundedSampler({self._per_second}/s)"


def sampler(traces_per_second_max: float, clock: Clock) -> Sampler:
    """Return who decides: spans below one that is recorded here are recorded, so that a trace has no holes."""
    return ParentBased(
        root=BoundedSampler(traces_per_second_max, clock),
        remote_parent_sampled=BoundedSampler(traces_per_second_max * JOINED_PER_BEGUN, clock),
    )
