"""What a second waits for: commands that arrive by name, and those that arrive without one."""

from maasloop.api.command.v1.events_pb2 import DecisionRecorded
from maasloop.bus.connection import connect
from maasloop.bus.subjects import DECISION_RECORDED
from maasloop.twin.play.decisions import Decisions

DISTRICT, CLOCK = "testing", "street-clock"


async def test_a_command_without_an_id_is_waited_for_and_counts_for_its_second_only(nats_url: str) -> None:
    """Two commands, one of which arrives by name and one by a protocol without ids; the next second begins anew."""
    decisions = Decisions(DISTRICT, CLOCK)
    async with connect(nats_url, name="test") as bus:
        await decisions.listen(bus)
        for second in (1, 2):
            record = DecisionRecorded(
                district=DISTRICT, street_second=second, command_ids=[f"named-{second}", f"unnamed-{second}"]
            )
            await bus.tell(DECISION_RECORDED.subject(DISTRICT, CLOCK), record.SerializeToString())
            decisions.arrived(f"named-{second}")
        decisions.arrived_unnamed()
        first = await decisions.wait(1, deadline_s=10)
        second_ = await decisions.wait(2, deadline_s=0.05)

    assert (first.decided, first.late) == (True, False)
    assert (second_.decided, second_.missing_commands) == (True, 1)
