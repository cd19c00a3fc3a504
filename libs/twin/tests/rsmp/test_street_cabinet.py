"""A junction of the street over RSMP: what its supervisor may ask for, and what it reads back."""

import pytest

from maasloop.rsmp.exchange_list import TLC_RELEASES, tlc
from maasloop.rsmp.messages import StatusName, Value
from maasloop.rsmp.read_back import expectation
from maasloop.rsmp.supervised import read_site as read_supervised
from maasloop.twin.rsmp.secret import SecurityCodes
from maasloop.twin.rsmp.street_cabinet import COMPONENT, StreetCabinet
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.simulation import LoopReading
from maasloop.twin.street.site import Junction, read_site

LIST = tlc(TLC_RELEASES[-1])


@pytest.fixture(name="junction", scope="module")
def _junction() -> Junction:
    return max(read_site(load_scenario("cologne3")).junctions, key=lambda each: len(each.local.steps))


@pytest.fixture(name="cabinet")
def _cabinet(junction: Junction) -> StreetCabinet:
    made = StreetCabinet(junction, SecurityCodes({1: "1111", 2: "2222"}))
    for second in range(20):
        made.tick(second)
    return made


def _read(cabinet: StreetCabinet, code: str, name: str = "status", component: str = COMPONENT) -> Value:
    return cabinet.read(component, StatusName(code, name)).value


def _order(cabinet: StreetCabinet, code: str, values: dict[str, str]) -> str:
    """Carry out a command, or return why it is refused."""
    values = {"securityCode": "2222"} | values
    problem = LIST.command_problem(code, (), values) or cabinet.judge(COMPONENT, code, values).objection
    if not problem:
        cabinet.execute(COMPONENT, code, values)
        expected = expectation(code, values, LIST)
        assert expected is None or expected.met_by(
            {name: cabinet.read(COMPONENT, name).value for name in expected.names}
        )
    return problem


def test_what_may_be_asked_shows_in_its_status(cabinet: StreetCabinet) -> None:
    """Plan, bands, their time-out, offset, cycle and inputs are read back as ordered."""
    for code, values in (
        ("M0014", {"plan": "2", "status": "1-7"}),
        ("M0014", {"plan": "1", "status": "2-3"}),
        ("M0023", {"status": "2"}),
        ("M0015", {"plan": "1", "status": "12"}),
        ("M0018", {"plan": "1", "status": "100"}),
        ("M0002", {"status": "True", "timeplan": "2"}),
        ("M0006", {"status": "True", "input": "1"}),
        ("M0013", {"status": "1,2,1"}),
        ("M0019", {"status": "True", "input": "3", "inputValue": "False"}),
        ("M0019", {"status": "False", "input": "3", "inputValue": "False"}),
        ("M0002", {"status": "False", "timeplan": "1"}),
    ):
        assert not _order(cabinet, code, values), code


@pytest.mark.parametrize(
    ("code", "values", "problem"),
    [
        ("M0002", {"status": "True", "timeplan": "2", "securityCode": "1111"}, "Incorrect security code"),
        ("M0002", {"status": "True", "timeplan": "3"}, "Plan 3 does not exist"),
        ("M0014", {"plan": "2", "status": "99-1"}, "band 99 does not exist"),
        ("M0014", {"plan": "2", "status": "1-99"}, "Band 1 of plan 2 is 0 to"),
        ("M0018", {"plan": "2", "status": "90"}, "cycle of plan 2 is free"),
        ("M0006", {"status": "True", "input": "99"}, "Input 99 does not exist"),
    ],
)
def test_what_the_programme_does_not_leave_open_is_refused(
    cabinet: StreetCabinet, code: str, values: dict[str, str], problem: str
) -> None:
    """Each refusal has its reason."""
    assert problem in _order(cabinet, code, values)


def test_lamps_are_not_switched_off_from_afar(cabinet: StreetCabinet) -> None:
    """M0001 is not implemented: its answer is of unknown age."""
    values = {"status": "Dark", "securityCode": "2222", "timeout": "0", "intersection": "0"}

    assert cabinet.judge(COMPONENT, "M0001", values) == (False, "")


def test_bands_that_time_out_take_inputs_along(cabinet: StreetCabinet) -> None:
    """When no bands arrive for so long the local programme is in use as it is."""
    _order(cabinet, "M0023", {"status": "1"})
    _order(cabinet, "M0002", {"status": "True", "timeplan": "2"})
    _order(cabinet, "M0014", {"plan": "2", "status": "1-7"})
    _order(cabinet, "M0019", {"status": "True", "input": "1", "inputValue": "True"})
    for second in range(20, 90):
        cabinet.tick(second)

    assert _read(cabinet, "S0014") == "1"
    assert set(str(_read(cabinet, "S0029"))) == {"0"}


def test_every_value_is_one_that_the_list_allows(cabinet: StreetCabinet, junction: Junction) -> None:
    """What it tells keeps to type, range and pattern, second by second, and groups and loops are counted."""
    seen = dict.fromkeys((loop.id for loop in junction.loops), LoopReading(1, 0.5))
    for second in range(20, 200):
        cabinet.tick(second)
        cabinet.count(second, seen)
        for code, entry in LIST.statuses.items():
            component = junction.loops[0].id if entry.component == "detector logic" else COMPONENT
            for name, argument in entry.arguments.items():
                value = _read(cabinet, code, name, component)
                assert value is None or not argument.problem(value), (code, name, value)

    assert _read(cabinet, "S0201", "vehicles", junction.loops[0].id) == "60"
    assert _read(cabinet, "S0207", "occupancy") == ",".join(["50"] * len(junction.loops))
    assert len(str(_read(cabinet, "S0001", "signalgroupstatus"))) == len(junction.network.groups)


def test_its_description_is_what_a_supervisor_reads(cabinet: StreetCabinet, junction: Junction) -> None:
    """The section of its device's configuration names groups and loops in the order of the statuses."""
    read = read_supervised(cabinet.description(junction.id, {1: "env:A", 2: "env:B"}))

    assert read.site_ids == (junction.id,)
    assert list(read.detector_logics) == [loop.id for loop in junction.loops]
