"""What shows that a command is carried out, command by command."""

import pytest

from maasloop.rsmp.dialect import Release
from maasloop.rsmp.exchange_list import TLC_RELEASES, tlc
from maasloop.rsmp.messages import StatusName, Value
from maasloop.rsmp.read_back import expectation

NEWEST, FIRST = TLC_RELEASES[-1], TLC_RELEASES[0]
FLASH = {"status": "YellowFlash", "timeout": "5", "intersection": "2"}
CLOCK = {"year": "2026", "month": "2", "day": "28", "hour": "23", "minute": "59", "second": "50"}


def _lamps(on: str, flashing: str, intersections: str = "1,2") -> dict[str, Value]:
    return {
        "S0007.intersection": intersections,
        "S0007.status": on,
        "S0011.intersection": intersections,
        "S0011.status": flashing,
    }


def _priority(state: str, request: str = "7") -> dict[str, Value]:
    return {"S0033.status": ({"r": request, "t": "2026-01-01T00:00:00.000Z", "s": state},)}


@pytest.mark.parametrize(
    ("code", "arguments", "shown", "met"),
    [
        ("M0001", FLASH, _lamps("True,True", "False,True"), True),
        ("M0001", FLASH, _lamps("True,True", "True,False"), False),
        ("M0001", FLASH, _lamps("True", "True", "0"), True),
        ("M0001", FLASH | {"intersection": "0"}, _lamps("True,True", "True,False"), False),
        ("M0001", FLASH | {"status": "Dark", "intersection": "0"}, _lamps("False", "False", "0"), True),
        ("M0001", FLASH | {"status": "NormalControl"}, _lamps("True,True", "True,False"), True),
        ("M0002", {"status": "True", "timeplan": "3"}, {"S0014.status": "3"}, True),
        ("M0002", {"status": "True", "timeplan": "3"}, {"S0014.status": "2"}, False),
        ("M0002", {"status": "False", "timeplan": "3"}, {"S0014.source": "calendar_clock"}, True),
        ("M0002", {"status": "False", "timeplan": "3"}, {"S0014.source": "forced"}, False),
        ("M0003", {"status": "True", "traficsituation": "2"}, {"S0015.status": "2"}, True),
        ("M0005", {"status": "True", "emergencyroute": "4"}, {"S0035.emergencyroutes": ({"id": "4"},)}, True),
        ("M0005", {"status": "False", "emergencyroute": "4"}, {"S0035.emergencyroutes": ({"id": "4"},)}, False),
        ("M0006", {"status": "True", "input": "3"}, {"S0003.inputstatus": "0010"}, True),
        ("M0006", {"status": "True", "input": "5"}, {"S0003.inputstatus": "0010"}, False),
        ("M0007", {"status": "True"}, {"S0009.intersection": "0", "S0009.status": "True"}, True),
        ("M0013", {"status": "3,4134,65"}, {"S0003.inputstatus": "001110010001000100"}, False),
        ("M0013", {"status": "1,2,1;4,1,0"}, {"S0003.inputstatus": "0101"}, True),
        ("M0013", {"status": "1,2,1;4,1,0"}, {"S0003.inputstatus": "1101"}, False),
        ("M0014", {"plan": "1", "status": "01-10,2-5"}, {"S0023.status": "1-1-10,1-2-05,2-1-0"}, True),
        ("M0014", {"plan": "1", "status": "1-10"}, {"S0023.status": "1-1-9"}, False),
        ("M0015", {"plan": "2", "status": "13"}, {"S0024.status": "1-0,2-13"}, True),
        ("M0018", {"plan": "2", "status": "80"}, {"S0028.status": "2-90"}, False),
        (
            "M0019",
            {"status": "True", "input": "1", "inputValue": "True"},
            {"S0029.status": "10", "S0003.inputstatus": "10"},
            True,
        ),
        (
            "M0019",
            {"status": "True", "input": "1", "inputValue": "False"},
            {"S0029.status": "10", "S0003.inputstatus": "10"},
            False,
        ),
        ("M0019", {"status": "False", "input": "1", "inputValue": "True"}, {"S0029.status": "00"}, True),
        ("M0022", {"requestId": "7", "type": "new"}, _priority("queued"), True),
        ("M0022", {"requestId": "7", "type": "new"}, _priority("rejected"), False),
        ("M0022", {"requestId": "7", "type": "new"}, _priority("queued", "8"), False),
        ("M0022", {"requestId": "7", "type": "cancel"}, _priority("activated"), False),
        ("M0022", {"requestId": "7", "type": "cancel"}, {"S0033.status": ()}, True),
        ("M0023", {"status": "5"}, {"S0034.status": "5"}, True),
        (
            "M0104",
            CLOCK,
            {f"S0096.{name}": value for name, value in (CLOCK | {"month": "3", "day": "1"}).items()},
            False,
        ),
        (
            "M0104",
            CLOCK,
            {"S0096.year": "2026", "S0096.month": "3", "S0096.day": "1"}
            | {"S0096.hour": "0", "S0096.minute": "0", "S0096.second": "20"},
            True,
        ),
    ],
)
def test_a_status_shows_a_command(code: str, arguments: dict[str, Value], shown: dict[str, Value], met: bool) -> None:
    """The expectation is met by the values that carry out the command, and by no others."""
    expected = expectation(code, arguments, tlc(NEWEST))
    values = {StatusName(*name.split(".")): value for name, value in shown.items()}

    assert expected is not None
    assert set(expected.names) == values.keys()
    assert expected.met_by(values) is met


def test_half_the_values_show_nothing() -> None:
    """Before everything that is needed was read, no command is confirmed."""
    expected = expectation("M0001", FLASH, tlc(NEWEST))

    assert expected is not None
    assert not expected.met_by({StatusName("S0011", "status"): "True"})


@pytest.mark.parametrize(
    ("release", "code", "arguments"),
    [
        (NEWEST, "M0004", {"status": "True"}),
        (NEWEST, "M0013", {"status": "nonsense"}),
        (FIRST, "M0002", {"status": "False", "timeplan": "3"}),
        (FIRST, "M0023", {"status": "5"}),
    ],
)
def test_some_commands_are_shown_by_nothing(release: Release, code: str, arguments: dict[str, Value]) -> None:
    """Where no status of the list can show a command there is no expectation, instead of one that is never met."""
    assert expectation(code, arguments, tlc(release)) is None


def test_an_older_list_shows_an_emergency_route_otherwise() -> None:
    """Before list 1.2 there is one route at a time."""
    expected = expectation("M0005", {"status": "True", "emergencyroute": "4"}, tlc(FIRST))

    assert expected is not None
    assert expected.met_by({StatusName("S0006", "status"): "True", StatusName("S0006", "emergencystage"): "4"})
