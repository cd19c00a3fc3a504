"""The account: what was found where, and what makes a demo fail."""

from dataclasses import replace

import pytest

from maasloop.api.command.v1.command_pb2 import Command, LightLevel, Setpoint
from maasloop.api.observation.v1.observation_pb2 import QuarantineEntry
from maasloop.api.observation.v1.series_service_pb2 import CustodyBalance
from maasloop.twin.demo.account import (
    COLUMNS,
    JSON,
    STORE,
    Account,
    balance_exact,
    ended_badly,
    found_in,
    refuse_quarantined,
)
from maasloop.twin.demo.summary import Summary, problems
from maasloop.twin.devices.readings import Reading, to_columns, to_json
from maasloop.twin.play.ledger import Ledger

WRONG = Reading("lamp-0001", "power", 5, 1.0e9)
OTHER = Reading("lamp-0002", "power", 5, 21.5)


def entry(reading: Reading, *, door: str = "mqtt") -> QuarantineEntry:
    """Return what the quarantine holds of a refused reading."""
    payload = to_columns([reading]).SerializeToString()
    return QuarantineEntry(door=door, reason="VALUE_OUT_OF_RANGE", content_type=COLUMNS, payload=payload)


def command(name: str, state: Command.State.ValueType, reason: str = "DONE") -> Command:
    """Return a command to a lamp."""
    setpoint = Setpoint(light_level=LightLevel(level_percent=30.0))
    return Command(name=f"districts/d/commands/{name}", state=state, reason=reason, setpoint=setpoint)


def summary() -> Summary:
    """Return the summary of a good run."""
    return Summary(
        readings_acknowledged=10,
        rows_stored=10,
        accepted=10,
        stored=10,
        duplicates=0,
        conflicts=0,
        quarantined=0,
        refused_consent=0,
        shed=0,
        dead_lettered=0,
        in_stream=0,
        commands_by_state={"VERIFIED": 2},
        commands_verified_lamps=1,
        commands_verified_signals=1,
        commands_verified_plans=1,
        junctions_by_stages=1,
        junctions_by_bands=1,
        alerts_delivered={"webhook": 1, "email": 1},
        consent_refusals=1,
        faults_injected={},
        faults_accounted={},
        kernel_violations=0,
        lamp_floor_violations=0,
        late_decisions=0,
        loop_latency_p50_ms=20.0,
        loop_latency_p99_ms=50.0,
        mean_delay_s=30.0,
        mean_delay_fixed_s=40.0,
        energy_ratio=0.6,
        duration_s=600,
        wall_s=60.0,
        versions={},
    )


def test_a_reading_refused_at_a_door_was_not_acknowledged_as_good() -> None:
    """The quarantine says what a PUBACK could not."""
    ledger = Ledger(0)
    ledger.acknowledge([WRONG, OTHER])
    refuse_quarantined(ledger, [entry(WRONG)])

    assert ledger.good_count == 1


def test_a_payload_that_was_refused_as_a_whole_was_not_acknowledged_either() -> None:
    """The quarantine keeps JSON as it came; where all of it was refused, all of it counts."""
    ledger = Ledger(0)
    ledger.acknowledge([WRONG, OTHER])
    payload = to_json([WRONG, OTHER])
    kept = QuarantineEntry(door="mqtt", content_type=JSON, payload=payload, reading_count=1)
    refuse_quarantined(ledger, [kept])
    mixed = ledger.good_count
    kept.reading_count = 2
    refuse_quarantined(ledger, [kept])

    assert (mixed, ledger.good_count) == (2, 0)


def test_a_conflict_at_the_store_leaves_the_first_reading_good() -> None:
    """Only the other value lies in quarantine; the row is there."""
    ledger = Ledger(0)
    ledger.acknowledge([OTHER])
    refuse_quarantined(ledger, [entry(OTHER._replace(result=23.0), door=STORE)])

    assert ledger.good_count == 1


def test_faults_are_found_with_their_value() -> None:
    """A reading is found where it must lie, and only with the value that was sent."""
    entries = [entry(WRONG), entry(OTHER, door=STORE)]

    assert found_in(entries, [WRONG, OTHER]) == 1
    assert found_in(entries, [WRONG, OTHER], store=True) == 1
    assert found_in(entries, [WRONG._replace(result=3.0)]) == 0


def test_a_command_that_nobody_obeyed_must_not_be_verified() -> None:
    """Failed, expired and superseded count; open ones, verified ones and those without a reason do not."""
    commands = [
        command("a", Command.State.STATE_FAILED),
        command("b", Command.State.STATE_VERIFIED),
        command("c", Command.State.STATE_SUPERSEDED),
        command("d", Command.State.STATE_DISPATCHED),
        command("e", Command.State.STATE_EXPIRED, reason=""),
    ]

    assert ended_badly(commands, ["a", "b", "c", "d", "e", "unknown"]) == 2


def test_the_balance_is_exact_or_not() -> None:
    """Everything accepted is somewhere, and nothing is lost."""
    good = CustodyBalance(accepted_count=6, stored_count=1, duplicate_count=1, conflict_count=1, quarantined_count=2)

    assert not balance_exact(good)
    good.in_stream_count = 1
    assert balance_exact(good)
    good.lost_count = 1
    assert not balance_exact(good)


def test_a_good_run_has_no_problems() -> None:
    """Nothing to complain about."""
    account = Account(balance=CustodyBalance(accepted_count=10, stored_count=10))

    assert list(problems(summary(), account)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows_stored": 9},
        {"kernel_violations": 1},
        {"lamp_floor_violations": 1},
        {"commands_verified_lamps": 0},
        {"commands_verified_signals": 0},
        {"commands_verified_plans": 0},
    ],
)
def test_each_failure_is_named(wrong: dict[str, int]) -> None:
    """A lost reading, a violation, or nothing verified: the demo fails and says why."""
    account = Account(balance=CustodyBalance(accepted_count=10, stored_count=10))

    assert len(list(problems(replace(summary(), **wrong), account))) == 1  # type: ignore[arg-type]  # the fields are parametrized


def test_an_open_command_and_an_inexact_balance_fail() -> None:
    """A command without an end and a reading without a place are problems."""
    account = Account(
        balance=CustodyBalance(accepted_count=11, stored_count=10),
        commands=[command("a", Command.State.STATE_ACKNOWLEDGED)],
    )

    assert len(list(problems(summary(), account))) == 2


def test_signals_that_nobody_recorded_fail() -> None:
    """No violation in what was not recorded is no proof: a hole in the record is a problem."""
    account = Account(balance=CustodyBalance(accepted_count=10, stored_count=10))

    assert len(list(problems(summary(), account, unjudged_s=1))) == 1
