"""Whatever a peer sends, and whenever, a session goes on or ends; it never raises."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maasloop.rsmp.session import Phase
from rsmp_conversation import PAIRS, converse
from rsmp_link import Link

SAID = {name: [packet for who, packet in converse(*PAIRS[-1]).said if who == name] for name in ("site", "supervisor")}
SCALARS: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers(-1, 99) | st.text(max_size=4) | st.just([]) | st.just({})
)


@st.composite
def _packets(draw: st.DrawFn, name: str) -> bytes:
    """A packet of one side, perhaps with one of its elements changed anywhere inside."""
    message = json.loads(draw(st.sampled_from(SAID[name])))
    if draw(st.booleans()):
        place = message
        while True:
            keys = list(range(len(place))) if isinstance(place, list) else sorted(place)
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], list | dict) and draw(st.booleans()):
                place = place[key]
            else:
                place[key] = draw(SCALARS)
                break
    return json.dumps(message).encode()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.booleans())
def test_a_session_survives_its_peer(data: st.DataObject, ready: bool) -> None:
    """Messages out of order, damaged, repeated, or meant for the other side do no harm to supervisor or site."""
    link = Link().ready() if ready else Link()
    for _ in range(data.draw(st.integers(1, 12))):
        receiver = data.draw(st.sampled_from([link.site, link.supervisor]))
        receiver.receive(data.draw(_packets(data.draw(st.sampled_from(sorted(SAID))))) + b"\f", link.now)
        link.advance(data.draw(st.sampled_from([0, 1])))

    for session in (link.site, link.supervisor):
        assert (session.phase is Phase.CLOSED) is (session.deadline_s == float("inf"))
