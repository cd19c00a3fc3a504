"""The server lets through what the model allows and nothing else; a wildcard too many is found."""

import pytest
from tests.security.lanes import oracle
from tests.security.oracle import model
from tests.security.oracle.judge import Verdict
from tests.security.oracle.sessions import Sessions
from tests.security.oracle.town import town
from tests.security.outcome import Plan, Result

SEED = 5
SCALE = 0.01
TIMEOUT_S = 180


@pytest.mark.integration
@pytest.mark.timeout(TIMEOUT_S)
async def test_the_server_does_what_the_model_allows() -> None:
    """Some thousand generated cases over NATS and MQTT, retained messages, wills and replays: no mismatch."""
    outcome = await oracle.run(Plan(SEED, SCALE))

    assert outcome.result is Result.HELD, outcome.notes
    assert outcome.figures["bytes_across_tenants"] == 0


@pytest.mark.integration
@pytest.mark.timeout(TIMEOUT_S)
async def test_sabotage_devices_with_a_wildcard_in_their_rights_are_found() -> None:
    """With ``dev.v1.*.*.up.>`` in the rights of each device the same lane ends as broken."""
    outcome = await oracle.run(Plan(SEED, SCALE, oracle.WILDCARD))

    assert outcome.result is Result.BROKEN
    assert outcome.figures["bytes_across_tenants"] > 0


@pytest.mark.integration
@pytest.mark.timeout(TIMEOUT_S)
def test_what_outlives_a_right_is_heard_by_nobody() -> None:
    """A session replays nothing to a device that lost the right, and does replay to one that kept it."""
    verdict = Verdict()
    with town() as made:
        sessions = Sessions(made, verdict, devices_max=1)
        who = sessions.devices[0]
        sessions.replayed(who, strip=False)
        sessions.replayed(who, strip=True)

    assert verdict.examples == []
    assert verdict.cases > 0


@pytest.mark.parametrize(
    ("right", "asked", "within"),
    [
        ("dev.v1.noord.lamp-1.up.>", "dev.v1.noord.lamp-1.up.x.y", True),
        ("dev.v1.noord.lamp-1.up.>", "dev.v1.noord.lamp-1.up", False),
        ("dev.v1.noord.lamp-1.up.>", "dev.v1.noord.*.up.x", False),
        ("maasloop.*.*.v1.*.*", "maasloop.device.*.v1.noord.*", True),
        ("maasloop.device.*.v1.*.*", "maasloop.>", False),
        ("a.*", "a.b.c", False),
        ("a.b", "a.*", False),
    ],
)
def test_the_model_knows_what_lies_within_a_right(right: str, asked: str, within: bool) -> None:
    """A pattern lies within a right when everything that it stands for does."""
    assert model.covers(right, asked) is within
