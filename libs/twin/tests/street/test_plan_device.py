"""A controller that runs its own plans: what is set is kept, and whatever is set the street stays in order."""

from collections.abc import Callable
from functools import cache
from itertools import groupby, pairwise, permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maasloop.twin.street.bands import COORDINATED, FREE, call_input, change, hold_input
from maasloop.twin.street.judge import judge_states
from maasloop.twin.street.network import GREEN, GREEN_MIN_S, SignalNetwork
from maasloop.twin.street.plan_device import PlanDevice
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.signals import SignalDevice
from maasloop.twin.street.site import Junction, Site, read_site

PLACES = 3
Command = tuple[int, str, int, int]


@cache
def three_junctions() -> Site:
    """Return a site of three junctions."""
    return read_site(load_scenario("cologne3"))


@pytest.fixture
def site() -> Site:
    """Return it to a test."""
    return three_junctions()


@pytest.fixture
def device(site: Site) -> PlanDevice:
    """Return the controller of a junction with several stages, at the first second of a cycle."""
    junction = max(site.junctions, key=lambda one: len(one.local.steps))
    device = PlanDevice(junction)
    _until(device, 0, lambda: device.stage == 1 and not device.clearing)
    return device


def _until(device: PlanDevice, second: int, reached: Callable[[], bool]) -> int:
    """Let seconds pass until something is so; return the next second."""
    for moment in range(second, second + 400):
        device.tick(moment)
        if reached():
            return moment + 1
    pytest.fail("it did not come to that")


def _stages(device: PlanDevice, begin: int, seconds: int) -> list[tuple[int, int]]:
    """Return the stages that are shown over some time, with their seconds of green."""
    shown: list[int] = []
    for second in range(begin, begin + seconds):
        device.tick(second)
        shown.append(0 if device.clearing else device.stage)
    return [(stage, len(list(run))) for stage, run in groupby(shown) if stage]


def _wrong(network: SignalNetwork, states: list[str]) -> list[str]:
    """Read what was shown second by second and say what is wrong; what began before the record is not judged."""
    found = [
        f"{second}: {i} and {j} are both not red"
        for second, state in enumerate(states)
        for i, j in network.conflicts
        if "r" not in (state[i], state[j])
    ]
    for second, state in enumerate(states):
        before = states[second - 1] if second else state
        found += [f"{second}: {i} and {j} are protected" for i, j in network.yields if state[i] == state[j] == "G"]
        started = [i for i, now in enumerate(state) if now in GREEN and before[i] not in GREEN]
        found += [
            f"{second}: {i} starts at once after {j}"
            for pair in network.conflicts
            for i, j in (pair, pair[::-1])
            if i in started and before[j] != "r"
        ]
    for i, group in enumerate(network.groups):
        kinds = ["G" if state[i] in GREEN else state[i] for state in states]
        runs = [(kind, len(list(run))) for kind, run in groupby(kinds)][1:]
        for (was, lasted_s), (now, _) in pairwise(runs):
            if was == "G" and (lasted_s < GREEN_MIN_S or now != "y"):
                found.append(f"{i} is green for {lasted_s} s, then {now}")
            if was == "y" and (lasted_s != group.yellow_s or now != "r"):
                found.append(f"{i} is yellow for {lasted_s} s, then {now}")
    return found


def test_undisturbed_it_is_the_local_programme(site: Site) -> None:
    """Second by second plan 1 shows what the local programme does, at every junction."""
    for junction in site.junctions:
        local, plan = SignalDevice(junction), PlanDevice(junction)
        for second in range(7, 7 + 3 * junction.local.cycle_s):
            assert plan.tick(second) == local.tick(second)


def test_the_free_plan_as_it_is_has_the_same_greens(device: PlanDevice) -> None:
    """Without bands, calls and holds from outside, plan 2 shows each stage as long as plan 1 does."""
    greens = [step.duration_s for step in device.junction.local.steps if step.stage]
    device.select_plan(FREE)
    second = _until(device, 1, lambda: device.stage == 2 and not device.clearing)
    shown = _stages(device, second, 2 * device.junction.local.cycle_s)
    assert [lasted_s for _, lasted_s in shown[1 : len(greens) + 1]] == [*greens[2:], *greens[:2]]


def test_a_band_counts_when_it_is_reached(device: PlanDevice) -> None:
    """A stage lasts its base green and the band that is in force then; what is set later waits for its next turn."""
    device.select_plan(FREE)
    second = _until(device, 1, lambda: device.stage == 2 and not device.clearing)
    device.set_bands(FREE, {2: 10})
    for moment in range(second, second + GREEN_MIN_S):
        device.tick(moment)
    device.set_bands(FREE, {2: 60})
    assert _stages(device, second + GREEN_MIN_S, 60)[0] == (2, 15 - 1 - GREEN_MIN_S)
    assert device.bands(FREE)[2] == 60


def test_inputs_end_and_leave_out_stages(device: PlanDevice) -> None:
    """A stage that is not held ends with its base green, one that is not called is left out, and green rests."""
    last = len(device.plans[FREE].stages)
    device.select_plan(FREE)
    for stage in range(1, last + 1):
        device.force(call_input(stage), stage in {1, last})
        device.force(hold_input(stage), False)
    shown = _stages(device, 1, 120)
    assert [stage for stage, _ in shown[:4]] in ([last, 1, last, 1], [1, last, 1, last])
    assert {lasted_s for _, lasted_s in shown[1:4]} == {GREEN_MIN_S}
    device.force(call_input(1), False)
    device.force(call_input(last), False)
    assert _stages(device, 121, 200)[-1][1] > 180


def test_further_stages_come_when_called(device: PlanDevice) -> None:
    """A stage that plan 1 does not have comes in plan 2 when its input calls it, and plan 1 goes on from there."""
    own = sum(step.stage for step in device.junction.local.steps)
    further = len(device.plans[FREE].stages)
    assert further > own
    device.select_plan(FREE)
    device.force(call_input(further), True)
    shown = [stage for stage, _ in _stages(device, 1, 3 * device.junction.local.cycle_s)]
    assert set(shown) == {*range(1, own + 1), further}
    second = _until(device, 1000, lambda: device.stage == further and not device.clearing)
    device.fall_back()
    assert further not in {stage for stage, _ in _stages(device, second + GREEN_MIN_S, 200)}


def test_between_stages_nobody_waits_for_others_than_foes(device: PlanDevice) -> None:
    """In the free plan a group that no foe keeps waiting is green from the first second of the change on."""
    network, early = device.junction.network, 0
    states = [stage.state for stage in device.plans[FREE].stages]
    for before, after in permutations(states, 2):
        shown = change(network, before, after)
        for i, now in enumerate(before):
            ending = [j for j in range(len(before)) if before[j] in GREEN and after[j] not in GREEN]
            if shown and now not in GREEN and after[i] in GREEN:
                free = not any(network.conflict(i, j) for j in ending)
                assert (shown[0][i] in GREEN) == free
                early += free
    assert early > 0


def test_when_nothing_arrives_the_local_programme_returns(device: PlanDevice) -> None:
    """Bands that are not sent again in time are dropped with all else; within a cycle plan 1 is where it would be."""
    junction = device.junction
    device.select_plan(FREE)
    device.set_dead_man(60)
    device.set_bands(FREE, {1: 80})
    device.force(call_input(2), False)
    for second in range(1, 61):
        device.tick(second)
    assert device.remote
    local = SignalDevice(junction)
    back = 62 + junction.local.cycle_s
    states = [device.tick(second) for second in range(61, back + 100)]
    assert not device.remote
    for second in range(back, back + 100):
        assert states[second - 61] == local.tick(second)


def test_the_cycle_is_kept_when_asked(device: PlanDevice) -> None:
    """In plan 1 bands shift green from stage to stage, offset and cycle time move where the cycle begins."""
    cycle_s = device.junction.local.cycle_s + 10
    device.set_bands(COORDINATED, {2: 20})
    device.set_cycle(COORDINATED, cycle_s)
    device.set_offset(COORDINATED, 17)
    begins: list[int] = []
    on = False
    for second in range(1, 6 * cycle_s):
        device.tick(second)
        was, on = on, device.stage == 1 and not device.clearing
        if on and not was:
            begins.append(second)
    assert [(second - 17) % cycle_s for second in begins[-3:]] == [0, 0, 0]


@pytest.mark.parametrize(
    "command",
    [
        lambda device: device.select_plan(7),
        lambda device: device.set_bands(7, {}),
        lambda device: device.set_bands(FREE, {1: 5, 99: 5}),
        lambda device: device.set_bands(FREE, {1: 500}),
        lambda device: device.set_bands(FREE, {1: -1}),
        lambda device: device.set_dead_man(-1),
        lambda device: device.set_offset(COORDINATED, 300),
        lambda device: device.set_cycle(COORDINATED, 0),
        lambda device: device.set_cycle(FREE, 60),
        lambda device: device.force(999, value=True),
    ],
)
def test_what_is_not_there_is_refused(device: PlanDevice, command: Callable[[PlanDevice], None]) -> None:
    """A plan, stage, input or length that the controller does not have changes nothing."""
    bands = device.bands(FREE)
    with pytest.raises(ValueError, match=r"\w"):
        command(device)
    assert device.bands(FREE) == bands
    assert not device.remote


def _play(junction: Junction, commands: list[Command]) -> list[str]:
    """Let commands arrive at their seconds and return what is shown."""
    device = PlanDevice(junction)
    stages = len(device.plans[FREE].stages)
    due = sorted(commands)
    states: list[str] = []
    for second in range(400):
        while due and due[0][0] <= second:
            _, what, stage, value = due.pop(0)
            number = 1 + stage % stages
            if what == "plan":
                device.select_plan(1 + value % 2)
            elif what == "bands":
                device.set_bands(FREE, {number: min(value, device.plans[FREE].stages[number - 1].band_max_s)})
                device.set_dead_man(30 + value)
            elif what == "shares":
                fixed = device.plans[COORDINATED].stages
                number = 1 + stage % len(fixed)
                device.set_bands(COORDINATED, {number: min(value, fixed[number - 1].band_max_s)})
            elif what == "cycle":
                device.set_cycle(COORDINATED, 1 + 2 * value)
            elif what == "offset":
                device.set_offset(COORDINATED, value)
            else:
                device.force((call_input if what == "call" else hold_input)(number), (None, False, True)[value % 3])
        states.append(device.tick(second))
    return states


COMMANDS = st.lists(
    st.tuples(
        st.integers(0, 380),
        st.sampled_from(("plan", "bands", "shares", "cycle", "offset", "call", "hold", "call", "hold")),
        st.integers(0, 20),
        st.integers(0, 85),
    ),
    max_size=40,
)


@given(place=st.integers(0, PLACES - 1), commands=COMMANDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_set_the_street_is_in_order(place: int, commands: list[Command]) -> None:
    """Random commands at random seconds: no conflict, no green below its minimum, no yellow cut."""
    junction = three_junctions().junctions[place]
    assert _wrong(junction.network, _play(junction, commands)) == []


def test_the_reader_of_recorded_states_agrees(site: Site) -> None:
    """The reader that shares no code with the controller finds nothing either while stages are ended and left out."""
    commands = [(7 * n, ("plan", "call", "hold", "bands")[n % 4], n // 2, 1 + 13 * n % 80) for n in range(50)]
    for junction in site.junctions:
        states = _play(junction, commands)
        assert len({state for state in states if "y" in state}) > 1
        assert judge_states(site.scenario.net, junction.tls, enumerate(states)) == []
