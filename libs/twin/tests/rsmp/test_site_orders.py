"""Each command of the exchange list does what its status shows, and is refused with a wrong code or a wrong value."""

from collections.abc import Callable

import pytest

from maasloop.rsmp.exchange_list import TLC_RELEASES, tlc
from maasloop.rsmp.read_back import expectation
from rsmp_site import Site

ON, OFF = {"status": "True"}, {"status": "False"}
CLOCK = {"year": "2020", "month": "9", "day": "29", "hour": "17", "minute": "29", "second": "51"}

ORDERS: list[tuple[str, str, dict[str, str]]] = [
    ("M0001", "TC", {"status": "YellowFlash", "timeout": "0", "intersection": "0"}),
    ("M0001", "TC", {"status": "Dark", "timeout": "1", "intersection": "1"}),
    ("M0002", "TC", ON | {"timeplan": "2"}),
    ("M0002", "TC", OFF | {"timeplan": "0"}),
    ("M0003", "TC", ON | {"traficsituation": "2"}),
    ("M0003", "TC", OFF | {"traficsituation": "0"}),
    ("M0004", "TC", ON),
    ("M0005", "TC", ON | {"emergencyroute": "2"}),
    ("M0005", "TC", OFF | {"emergencyroute": "2"}),
    ("M0006", "TC", ON | {"input": "1"}),
    ("M0007", "TC", ON),
    ("M0008", "DL2", ON | {"mode": "True"}),
    ("M0010", "B1", ON),
    ("M0011", "B1", ON),
    ("M0012", "TC", {"status": "5,4134,65;5,11"}),
    ("M0013", "TC", {"status": "3,4143,65;12,1,4"}),
    ("M0014", "TC", {"plan": "1", "status": "1-12,3-4"}),
    ("M0015", "TC", {"plan": "1", "status": "99"}),
    ("M0016", "TC", {"status": "0-1,6-2"}),
    ("M0017", "TC", {"status": "12-1-12-59,1-0-23-12"}),
    ("M0018", "TC", {"plan": "2", "status": "50"}),
    ("M0019", "TC", ON | {"input": "5", "inputValue": "True"}),
    ("M0019", "TC", OFF | {"input": "5", "inputValue": "False"}),
    ("M0020", "TC", ON | {"output": "3", "outputValue": "True"}),
    ("M0021", "TC", {"status": "1-50"}),
    ("M0022", "TC", {"requestId": "bus-7", "type": "new", "level": "7", "signalGroupId": "A1", "eta": "10"}),
    ("M0023", "TC", {"status": "10"}),
    ("M0103", "TC", {"status": "Level2", "oldSecurityCode": "2222", "newSecurityCode": "3333"}),
    ("M0104", "TC", {"securityCode": "1111", **CLOCK}),
]


def test_every_command_of_the_list_is_tried() -> None:
    """The orders below are all that the newest list has."""
    assert {code for code, _, _ in ORDERS} == set(tlc(TLC_RELEASES[-1]).commands)


@pytest.mark.parametrize(("code", "component", "values"), ORDERS)
def test_a_command_shows_in_its_status(site: Site, code: str, component: str, values: dict[str, str]) -> None:
    """What a supervisor reads back to confirm a command is there at once."""
    site.order(code, values, component)

    expected = expectation(code, values, tlc(site.cabinet.list.release))
    if expected is not None:
        told = {name: site.cabinet.read("TC", name).value for name in expected.names}
        assert expected.met_by(told), told


@pytest.mark.parametrize(("code", "component", "values"), [each for each in ORDERS if each[0] != "M0022"])
def test_a_wrong_security_code_is_refused(site: Site, code: str, component: str, values: dict[str, str]) -> None:
    """Save for priority each needs the code of its level; the reason says of which, and nothing has changed."""
    wrong = {"oldSecurityCode": "1111"} if code == "M0103" else {"securityCode": "2222" if code == "M0104" else "1111"}
    before = [site.read(each) for each in ("S0014", "S0015", "S0023", "S0026", "S0028", "S0029", "S0034")]

    assert site.problem(code, values | wrong, component).startswith("Incorrect security code for level")
    assert [site.read(each) for each in ("S0014", "S0015", "S0023", "S0026", "S0028", "S0029", "S0034")] == before


@pytest.mark.parametrize(
    ("code", "component", "values", "problem"),
    [
        ("M0001", "TC", {"status": "Off", "timeout": "0", "intersection": "0"}, "one of Dark"),
        ("M0001", "TC", {"status": "Dark", "timeout": "0", "intersection": "2"}, "intersection 2 does not exist"),
        ("M0001", "TC", {"status": "Dark", "intersection": "0"}, "timeout missing"),
        ("M0002", "TC", ON | {"timeplan": "3"}, "Plan 3 does not exist"),
        ("M0002", "TC", ON | {"timeplan": "0"}, "1 to 255"),
        ("M0002", "TC", OFF, "timeplan missing"),
        ("M0003", "TC", ON | {"traficsituation": "9"}, "Traffic situation 9 does not exist"),
        ("M0005", "TC", ON | {"emergencyroute": "3"}, "Emergency route 3 does not exist"),
        ("M0006", "TC", ON | {"input": "17"}, "Input 17 does not exist"),
        ("M0013", "TC", {"status": "3,4143"}, "3 numbers joined by ','"),
        ("M0013", "TC", {"status": "3,32768,0"}, "Input 18 does not exist"),
        ("M0014", "TC", {"plan": "3", "status": "1-1"}, "Plan 3 does not exist"),
        ("M0014", "TC", {"plan": "2", "status": "3-1"}, "Plan 2 has no band 3"),
        ("M0014", "TC", {"plan": "1", "status": "1-100"}, "at most by 99 s"),
        ("M0014", "TC", {"plan": "1", "status": "1:1"}, "2 numbers joined by '-'"),
        ("M0016", "TC", {"status": "7-1"}, "A day of 0 to 6"),
        ("M0017", "TC", {"status": "1-1-24-0"}, "no entry of a day table"),
        ("M0017", "TC", {"status": "1-9-23-0"}, "Plan 9 does not exist"),
        ("M0020", "TC", ON | {"output": "17", "outputValue": "True"}, "Output 17 does not exist"),
        ("M0021", "TC", {"status": "3-50"}, "Detector 3 does not exist"),
        ("M0022", "TC", {"requestId": "1", "type": "new", "signalGroupId": "A1"}, "level missing"),
        ("M0022", "TC", {"requestId": "1", "type": "cancel"}, "nothing to cancel"),
        ("M0022", "TC", {"requestId": "1", "type": "update", "level": "3"}, "nothing to update"),
        (
            "M0103",
            "TC",
            {"status": "Level1", "oldSecurityCode": "1111", "newSecurityCode": ""},
            "an empty security code is none",
        ),
        ("M0104", "TC", {"securityCode": "1111", **CLOCK, "month": "2", "day": "30"}, "no such date"),
    ],
)
def test_a_wrong_value_is_refused(site: Site, code: str, component: str, values: dict[str, str], problem: str) -> None:
    """What does not exist or cannot be is named."""
    assert problem in site.problem(code, values, component)


def test_a_changed_security_code_is_the_only_right_one(site: Site) -> None:
    """After M0103 the old code is wrong."""
    site.order("M0103", {"status": "Level2", "oldSecurityCode": "2222", "newSecurityCode": "3333"})

    assert site.problem("M0006", ON | {"input": "1"})
    site.order("M0006", ON | {"input": "1", "securityCode": "3333"})


def test_a_command_that_nobody_implemented_is_unknown(site: Site) -> None:
    """A code without an order is neither taken nor refused."""
    verdict = site.cabinet.judge("TC", "M0999", {})

    assert not verdict.taken
    assert not verdict.objection


def test_a_forced_input_hides_the_input_itself(site: Site) -> None:
    """What was set meanwhile is seen when the force ends."""
    site.order("M0019", ON | {"input": "2", "inputValue": "False"})
    site.order("M0006", ON | {"input": "2"})
    assert str(site.read("S0003", "inputstatus"))[1] == "0"

    site.order("M0019", OFF | {"input": "2", "inputValue": "False"})

    assert str(site.read("S0003", "inputstatus"))[1] == "1"


def test_an_input_raises_its_alarm(site: Site) -> None:
    """Input 7 raises A0302 of the first detector logic, and the state at a glance has a fault of low priority."""
    site.order("M0019", ON | {"input": "7", "inputValue": "True"})
    active, values = site.cabinet.alarms()["DL1", "A0302"]

    assert active
    assert not tlc(site.cabinet.list.release).alarms["A0302"].problem(dict(values))
    assert site.cabinet.aggregated() == (False, False, False, False, True, True, False, False)


def test_every_status_has_a_value_that_the_list_allows(new_site: Callable[..., Site]) -> None:
    """Under each version of the list, after an order of everything, no value breaks its type, range or pattern."""
    for listed in new_site().sheet.exchange_lists:
        site = new_site()
        site.cabinet.list = listed
        site.wait(70)
        for code, component, values in ORDERS:
            if code in tlc(listed.release).commands and code not in {"M0001", "M0103"}:
                site.order(code, values, component)
        components = site.cabinet.components()
        for code, entry in tlc(listed.release).statuses.items():
            for component in [name for name, kind in components.items() if kind == entry.component]:
                for name, argument in entry.arguments.items():
                    value = site.read(code, name, component)
                    assert not argument.problem(value), (str(listed.release), code, component, value)
