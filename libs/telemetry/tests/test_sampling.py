"""Few traces begin, those that begin are whole, and nobody else can make us record without bound."""

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler

from maasloop.core.clock import FakeClock
from maasloop.telemetry.sampling import JOINED_PER_BEGUN, BoundedSampler, sampler
from maasloop.telemetry.tracing import extract

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNRECORDED = PARENT[:-1] + "0"


def _taken(chosen: Sampler, count: int, parent: str = "") -> int:
    tracer = TracerProvider(sampler=chosen).get_tracer("test")
    spans = [tracer.start_span("x", context=extract(parent)) for _ in range(count)]
    return sum(span.is_recording() for span in spans)


async def test_so_many_begin_a_second() -> None:
    """A second's worth at once, then as many as time brings; what is not used does not pile up."""
    clock = FakeClock()
    bounded = BoundedSampler(10.0, clock)

    assert _taken(bounded, 100) == 10
    await clock.advance(0.5)
    assert _taken(bounded, 100) == 5
    await clock.advance(1_000.0)
    assert _taken(bounded, 100) == 10


def test_none_begin_where_none_may() -> None:
    """A bound of 0 is none."""
    assert _taken(BoundedSampler(0.0, FakeClock()), 10) == 0


async def test_a_rare_one_begins_where_less_than_one_a_second_may() -> None:
    """A bound below 1 lets one begin, and the next when it is due."""
    clock = FakeClock()
    bounded = BoundedSampler(0.1, clock)

    assert _taken(bounded, 5) == 1
    await clock.advance(9.0)
    assert _taken(bounded, 5) == 0
    await clock.advance(1.5)
    assert _taken(bounded, 5) == 1


def test_who_traces_already_is_followed_within_a_bound() -> None:
    """Spans below another's trace are taken although no trace may begin, until there are too many; unrecorded ones never."""
    assert _taken(sampler(1.0, FakeClock()), 1_000, PARENT) == JOINED_PER_BEGUN
    assert _taken(sampler(1.0, FakeClock()), 10, UNRECORDED) == 0


def test_what_begins_is_whole() -> None:
    """Below a span that is recorded here every span is, however many."""
    provider = TracerProvider(sampler=sampler(1.0, FakeClock()))
    tracer = provider.get_tracer("test")

    with tracer.start_as_current_span("root"):
        assert all(tracer.start_span("child").is_recording() for _ in range(1_000))
