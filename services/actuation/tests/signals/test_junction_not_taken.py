"""A junction whose field did not take a sequence: nobody holds it, and it may be asked again."""

from dataclasses import replace

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.junction import Junction
from maasloop.actuation.domain.reading import Reading
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.state import Lease
from maasloop.actuation.domain.verification import SIGNAL_STATE

SECOND = 100
LOCAL = "GGrgr"


def test_what_was_not_taken_holds_nobody(sheet: Sheet) -> None:
    """Lease and sequence are forgotten, so that the next second is decided upon."""
    junction = Junction.of(sheet, "controllers/here")
    junction.hear(Reading("crossing", SIGNAL_STATE, SECOND * 1_000_000, state=LOCAL))
    junction.decide(SECOND)
    assert junction.state is not None
    junction.state = replace(
        junction.state, busy_until_s=SECOND + 30, lease=Lease("controllers/here", Authority.SCHEDULE, SECOND + 60)
    )

    junction.not_taken()

    assert (junction.state.busy_until_s, junction.state.lease, junction.running) == (SECOND, None, None)
