"""The safety kernel of lamps, judged by a slow checker that knows the rules only; and that the checker would notice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.facts import Capability, Device
from maasloop.actuation.domain.issuing import Request, issue
from maasloop.actuation.domain.lamps import kernel
from maasloop.actuation.domain.lamps.lamp import Lamp, LampState
from maasloop.actuation.domain.setpoint import LightLevel

SECOND_US = 1_000_000
LAMP = Lamp(100.0, 2.0, 80.0, 20.0)
CAPABILITIES = frozenset({Capability.LIGHT_LEVEL})


@dataclass(frozen=True)
class Wish:
    """Somebody asks for a level after a while."""

    after_s: int
    level: float
    ramp_s: float
    authority: Authority
    expire_s: int


WISHES = st.lists(
    st.builds(
        Wish,
        st.integers(0, 40),
        st.floats(0, 100),
        st.floats(0, 120),
        st.sampled_from(Authority),
        st.integers(-5, 1_000),
    ),
    max_size=25,
)


def _play(wishes: list[Wish]) -> list[Command]:
    """Ask a lamp for one thing after the other and return what was accepted."""
    district = District("noord")
    district.facts.put(Device("lamp-1", "streetlight", (), active=True, lamp=LAMP))
    now_us, accepted = 1_000 * SECOND_US, []
    for number, wish in enumerate(wishes):
        now_us += wish.after_s * SECOND_US
        request = Request(
            device="lamp-1",
            setpoint=LightLevel(wish.level, wish.ramp_s),
            authority=wish.authority,
            issuer=f"issuer-{number}",
            cause="test",
            seed=str(number),
            expire_us=now_us + wish.expire_s * SECOND_US,
        )
        batch = issue(district, CAPABILITIES, request, Moment(now_us, now_us))
        accepted += batch.accepted()
    return accepted


def _violations(accepted: list[Command]) -> Iterator[str]:
    """Simulate the lamp in steps of a second and name every rule that it breaks."""
    for number, command in enumerate(accepted):
        setpoint = command.setpoint
        assert isinstance(setpoint, LightLevel)
        before = _level_at(accepted[:number], command.not_before_us)
        if setpoint.level_percent < LAMP.floor_percent:
            yield f"{command.id} below the floor"
        if command.authority is Authority.EMERGENCY and setpoint.level_percent < 100:
            yield f"{command.id} leaves an emergency in the dark"
        fall = before - setpoint.level_percent
        if fall > 0.5 and fall / max(setpoint.ramp_s, 1e-9) > 1.0 + 1e-6:
            yield f"{command.id} falls {fall} in {setpoint.ramp_s} s"
        if fall < -0.5 and setpoint.ramp_s > 2.0:
            yield f"{command.id} rises in {setpoint.ramp_s} s"
        if command.expire_us - command.not_before_us > 900 * SECOND_US:
            yield f"{command.id} lasts too long"


def _level_at(commands: list[Command], at_us: int) -> float:
    level = LAMP.class_level_percent
    for number, command in enumerate(commands):
        end_us = commands[number + 1].not_before_us if number + 1 < len(commands) else at_us
        setpoint = command.setpoint
        assert isinstance(setpoint, LightLevel)
        if end_us >= command.expire_us:
            level = LAMP.class_level_percent
            continue
        passed_s = (end_us - command.not_before_us) / SECOND_US
        share = 1.0 if passed_s >= setpoint.ramp_s else passed_s / setpoint.ramp_s
        level += (setpoint.level_percent - level) * share
    return level


@given(WISHES)
def test_no_sequence_of_wishes_breaks_a_rule(wishes: list[Wish]) -> None:
    """Whoever asks for whatever in whatever order: floor, ramps, expiry and emergency hold."""
    assert list(_violations(_play(wishes))) == []


def _bypassed(
    lamp: Lamp, state: LampState | None, wish: LightLevel, authority: Authority, *, street_us: int, expire_us: int
) -> kernel.Verdict:
    after = LampState(wish.level_percent, wish.level_percent, street_us, 0.0, expire_us, 0)
    return kernel.Permitted(wish, "", after, steady=False)


def test_the_checker_notices_a_bypassed_kernel() -> None:
    """With the kernel out of the way the same checker finds darkness, so that its silence means something."""
    wishes = [Wish(1, 5.0, 0.0, Authority.ADAPTIVE, 60), Wish(1, 90.0, 60.0, Authority.ADAPTIVE, 1_000)]
    with patch("maasloop.actuation.domain.issuing.lamp_kernel.judge", _bypassed):
        found = list(_violations(_play(wishes)))

    assert [reason.split(" ", 1)[1].split(" in ")[0] for reason in found] == [
        "below the floor",
        "falls 75.0",
        "rises",
        "lasts too long",
    ]


def _judge(
    level: float, ramp_s: float = 0.0, state: LampState | None = None, authority: Authority = Authority.ADAPTIVE
) -> kernel.Verdict:
    return kernel.judge(LAMP, state, LightLevel(level, ramp_s), authority, street_us=0, expire_us=60 * SECOND_US)


def _permitted(verdict: kernel.Verdict) -> kernel.Permitted:
    assert isinstance(verdict, kernel.Permitted)
    return verdict


def test_what_only_needs_a_bound_is_adapted_and_says_so() -> None:
    """A low wish becomes the floor, a steep descent becomes longer, a slow rise shorter."""
    low = _permitted(_judge(0.0))
    rise = _permitted(_judge(100.0, ramp_s=30.0))
    emergency = _permitted(_judge(0.0, authority=Authority.EMERGENCY))

    assert low.setpoint == LightLevel(20.0, 60.0)
    assert low.adapted == "raised from 0 % to the floor of 20 %; ramp lengthened to 60 s"
    assert rise.setpoint == LightLevel(100.0, 2.0)
    assert emergency.setpoint.level_percent == 100.0


def test_what_is_forbidden_is_refused_with_its_reason() -> None:
    """Nobody switches a lamp off, dims it right after it was raised, or holds it without end."""
    raised = LampState(20.0, 80.0, 0, 0.0, 600 * SECOND_US, raised_us=0)
    refusals: list[Callable[[], kernel.Verdict]] = [
        lambda: _judge(0.0, authority=Authority.OPERATOR),
        lambda: _judge(20.0, state=raised),
        lambda: kernel.judge(LAMP, None, LightLevel(50, 0), Authority.OPERATOR, street_us=0, expire_us=901 * SECOND_US),
    ]
    found = [refusal() for refusal in refusals]

    assert [one.reason for one in found if isinstance(one, kernel.Refused)] == [
        "BELOW_FLOOR",
        "RATE_LIMITED",
        "EXPIRY_INVALID",
    ]


def test_a_refused_request_is_a_command_with_a_reason() -> None:
    """A refusal is stored like every command, and changes nothing about the lamp."""
    district = District("noord")
    district.facts.put(Device("lamp-1", "streetlight", (), active=True, lamp=LAMP))
    request = Request(
        device="lamp-1", setpoint=LightLevel(0, 0), authority=Authority.OPERATOR, issuer="x", cause="x", seed="1"
    )
    batch = issue(district, CAPABILITIES, request, Moment(SECOND_US, SECOND_US))

    assert [(one.state, one.reason) for one in batch.commands] == [(State.REFUSED, "BELOW_FLOOR")]
    assert [one.entry for one in batch.journal] == ["command_refused"]
    assert (district.commands, district.holders, district.lamp_states) == ({}, {}, {})
