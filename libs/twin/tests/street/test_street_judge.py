"""The judge of recorded states finds each kind of violation, and nothing where there is none."""

from pathlib import Path

import pytest

from maasloop.twin.street.judge import judge_records, judge_run, judge_states, read_states, seconds_recorded
from maasloop.twin.street.scenario import load_scenario

TLS = "GS_cluster_357187_359543"
STAGE = "rrrrrGGGggrrrrrGGGgg"
CLEAR = "rrrrryyyyyrrrrryyyyy"
OTHER = "GGGggrrrrrGGGggrrrrr"
RED = "r" * 20


def seconds(*runs: tuple[str, int]) -> list[tuple[int, str]]:
    """Return (second, state) for runs of (state, seconds)."""
    states = [state for state, length in runs for _ in range(length)]
    return list(enumerate(states))


@pytest.mark.parametrize(
    ("runs", "rule"),
    [
        (((STAGE, 9), (CLEAR, 5), (RED, 1), (OTHER, 9)), None),
        (((STAGE, 9), (CLEAR, 4), (RED, 2), (OTHER, 9)), "yellow too short"),
        (((STAGE, 9), (CLEAR, 5), (OTHER, 9)), "intergreen"),
        (((STAGE, 9), (RED, 5), (OTHER, 9)), "green without yellow after it"),
        (
            ((STAGE, 9), (CLEAR, 5), (RED, 1), (OTHER, 4), (OTHER.replace("G", "y").replace("g", "y"), 5)),
            "minimum green",
        ),
        (((STAGE, 9), ("GGGggGGGggGGGggGGGgg", 9)), "conflict"),
        (((STAGE, 9), ("rrrrrGGGGGrrrrrGGGGG", 9)), "both protected"),
        (((STAGE, 9), (CLEAR, 5), (STAGE, 9)), "green straight after yellow"),
        (((STAGE, 9), (CLEAR, 5), (RED, 1), (CLEAR, 5)), "yellow without green before it"),
    ],
)
def test_each_violation_is_found(runs: tuple[tuple[str, int], ...], rule: str | None) -> None:
    """A sabotaged second is found and named; a sound change is not."""
    found = {violation.rule for violation in judge_states(load_scenario("cologne1").net, TLS, seconds(*runs))}
    assert (rule in found) if rule else not found


def test_a_recorded_file_is_judged(tmp_path: Path) -> None:
    """The file that SUMO writes is read, and a violation carries its second and junction."""
    lines = [
        f'<tlsState time="{25_200 + second}.00" id="{TLS}" programID="online" phase="0" state="{state}"/>'
        for second, state in seconds((STAGE, 9), (RED, 5))
    ]
    record = tmp_path / "states.xml"
    record.write_text("<tlsStates>\n" + "\n".join(lines) + "\n</tlsStates>")
    found = judge_run(load_scenario("cologne1").net, record)
    assert {(one.second, one.junction) for one in found} == {(25_209, TLS)}
    assert seconds_recorded(record) == {TLS: 14}


def test_what_follows_a_recorded_file_is_judged_with_it(tmp_path: Path) -> None:
    """States that continue a record are judged by what it ended with: a green that began in it may end after it."""
    record = tmp_path / "states.xml"
    lines = [f'<tlsState time="{second}.00" id="{TLS}" state="{RED if second < 5 else STAGE}"/>' for second in range(7)]
    record.write_text("<tlsStates>\n" + "\n".join(lines) + "\n</tlsStates>")
    net = load_scenario("cologne1").net

    later = [(7, TLS, CLEAR)]
    assert {one.rule for one in judge_records(net, [*read_states(record), *later])} == {"minimum green"}
    assert judge_records(net, later) == []
