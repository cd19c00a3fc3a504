"""What is believed of lamps: after a command that had no effect, after a release, and of two values for one moment."""

from dataclasses import replace

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.district import District, Moment, Wanted
from maasloop.actuation.domain.facts import Capability, Device
from maasloop.actuation.domain.failing import failed
from maasloop.actuation.domain.issuing import Request, issue
from maasloop.actuation.domain.lamps.kernel import RAMP_DOWN_PERCENT_PER_S
from maasloop.actuation.domain.lamps.lamp import Lamp
from maasloop.actuation.domain.lighting import RETRY_FIRST_US, ask_for
from maasloop.actuation.domain.reading import SECOND_US, Reading
from maasloop.actuation.domain.setpoint import LightLevel, LocalControl

LAMP = Lamp(100.0, 2.0, 80.0, 20.0)
CAPABILITIES = frozenset({Capability.LIGHT_LEVEL})
NOW_US = 1_000 * SECOND_US


def _district() -> District:
    district = District("noord")
    district.facts.put(Device("lamp-1", "streetlight", (), active=True, lamp=LAMP))
    return district


def _ask(district: District, level: float, issuer: str, at_us: int) -> Command:
    request = Request(
        device="lamp-1",
        setpoint=LightLevel(level, 0.0),
        authority=Authority.OPERATOR,
        issuer=issuer,
        cause="test",
        seed=f"{at_us}",
    )
    return issue(district, CAPABILITIES, request, Moment(at_us, 0)).commands[-1]


def _fail(district: District, command: Command, at_us: int) -> None:
    ended = replace(command, state=State.FAILED, reason="DEVICE_SILENT")
    district.keep(ended)
    failed(district, ended, Moment(at_us, 0))


def test_a_lamp_that_may_be_bright_is_not_dimmed_too_fast() -> None:
    """After a command to 100 % that nobody confirmed, the way down is as long as from 100 %, not from class level."""
    district = _district()
    _fail(district, _ask(district, 100.0, "callers/one", NOW_US), NOW_US + 15 * SECOND_US)

    command = _ask(district, 20.0, "callers/two", NOW_US + 20 * SECOND_US)

    assert command.state is State.ACCEPTED
    assert isinstance(command.setpoint, LightLevel)
    assert (100.0 - 20.0) / command.setpoint.ramp_s <= RAMP_DOWN_PERCENT_PER_S


def test_what_failed_is_asked_for_again() -> None:
    """A level that is wanted and that the lamp did not reach is asked for once more after a pause."""
    district = _district()
    district.wanted["lamp-1"] = Wanted({"dim": 20.0}, "test")
    first = ask_for(district, CAPABILITIES, "lamp-1", Moment(NOW_US, 0)).commands[-1]
    assert not ask_for(district, CAPABILITIES, "lamp-1", Moment(NOW_US + SECOND_US, 0))
    _fail(district, first, NOW_US + 2 * SECOND_US)

    paused = ask_for(district, CAPABILITIES, "lamp-1", Moment(NOW_US + 3 * SECOND_US, 0))
    again = ask_for(district, CAPABILITIES, "lamp-1", Moment(NOW_US + 2 * SECOND_US + RETRY_FIRST_US, 0))

    assert not paused
    assert again.commands[-1].state is State.ACCEPTED
    assert again.commands[-1].id != first.id


def test_a_level_that_is_asked_for_again_is_another_command() -> None:
    """After a release nothing is known of a lamp: what is wanted of it goes out under an id that it does not drop."""
    district = _district()
    district.wanted["lamp-1"] = Wanted({"dim": 20.0}, "test")
    first = ask_for(district, CAPABILITIES, "lamp-1", Moment(NOW_US, 0)).commands[-1]
    district.keep(replace(first, state=State.VERIFIED, reason="EFFECT_OBSERVED"))
    local = Request(
        device="lamp-1",
        setpoint=LocalControl(),
        authority=Authority.OPERATOR,
        issuer="release",
        cause="release",
        seed="1",
    )
    issue(district, CAPABILITIES, local, Moment(NOW_US + SECOND_US, 0))
    district.holders.clear()

    again = ask_for(district, CAPABILITIES, "lamp-1", Moment(NOW_US + 20 * SECOND_US, 0)).commands[-1]

    assert again.state is State.ACCEPTED
    assert again.id != first.id


def test_of_two_values_for_a_moment_the_first_one_stays() -> None:
    """A conflicting value, which the tables do not take, causes nothing either."""
    district = _district()
    assert district.remember(Reading("lamp-1", "presence", NOW_US, 0.0))
    assert not district.remember(Reading("lamp-1", "presence", NOW_US, 1.0))
    assert district.latest_near("lamp-1", ["presence"], NOW_US) == {"presence": 0.0}
