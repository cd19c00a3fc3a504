"""Between the greens of a site lies what its sheet asks for, whatever is ordered."""

from collections.abc import Callable
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maasloop.twin.rsmp.groups import Aspect, SignalGroups, Times
from rsmp_site import Site

NAMES = ("A", "B", "C")
TIMES = {"A": Times(4, 3, 1), "B": Times(5, 3, 0), "C": Times(6, 4, 2)}
INTERGREEN_S = {("A", "B"): 5.0, ("B", "A"): 6.0, ("B", "C"): 4.0, ("C", "B"): 7.0}


class _Witness:
    """Watches groups without knowing how they decide: greens by their beginning and end."""

    def __init__(self, times: dict[str, Times], intergreen_s: dict[tuple[str, str], float]) -> None:
        self.times, self.intergreen_s = times, intergreen_s
        self.last = dict.fromkeys(times, Aspect.RED)
        self.begun: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.greens = 0

    def see(self, now_s: float, shown: dict[str, Aspect]) -> None:
        for name, aspect in shown.items():
            was = self.last[name]
            if aspect is Aspect.GREEN and was is not Aspect.GREEN:
                self.greens += 1
                self.begun[name] = now_s
                for (ends, begins), seconds in self.intergreen_s.items():
                    if begins == name and ends in self.ended:
                        assert now_s - self.ended[ends] >= seconds - 1e-6, (ends, begins, now_s)
            if was is Aspect.GREEN and aspect is not Aspect.GREEN:
                assert aspect is Aspect.YELLOW
                assert now_s - self.begun[name] >= self.times[name].minimum_green_s - 1e-6
                self.ended[name] = now_s
            if was is Aspect.RED:
                assert aspect is not Aspect.YELLOW
        for one, other in self.intergreen_s:
            assert Aspect.RED in {shown[one], shown[other]}, (one, other, now_s)
        self.last = dict(shown)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sets(st.sampled_from(NAMES)), st.integers(1, 80)), max_size=40))
def test_conflicting_groups_never_leave_red_together(wishes: list[tuple[set[str], int]]) -> None:
    """Wishes that change at any moment, also such as cannot be met, never shorten a minimum green or an intergreen."""
    groups, witness, now_s = SignalGroups(TIMES, INTERGREEN_S), _Witness(TIMES, INTERGREEN_S), 0.0

    for wanted, steps in wishes:
        for _ in range(steps):
            now_s = round(now_s + 0.1, 1)
            groups.step(now_s, frozenset(wanted))
            witness.see(now_s, {name: groups.aspect(name) for name in NAMES})


def test_what_is_wanted_becomes_green() -> None:
    """A group that is wanted long enough is green, with red-yellow before and only once the others are clear."""
    groups = SignalGroups(TIMES, INTERGREEN_S)
    shown = []
    for tenth in range(400):
        groups.step(tenth / 10, frozenset("A") if tenth < 100 else frozenset("B"))
        shown.append((groups.aspect("A"), groups.aspect("B")))

    assert shown[0][0] is Aspect.RED_YELLOW
    assert shown[10][0] is Aspect.GREEN
    assert shown[100][0] is Aspect.YELLOW
    assert [each[1] for each in shown].index(Aspect.GREEN) == 150
    assert shown[-1] == (Aspect.RED, Aspect.GREEN)


_CODE = {"securityCode": "2222"}
_ORDERS = st.one_of(
    st.builds(lambda on, plan: ("M0002", {"status": on, "timeplan": plan}), st.sampled_from(["True", "False"]), st.sampled_from("12")),
    st.builds(lambda on, route: ("M0005", {"status": on, "emergencyroute": route}), st.sampled_from(["True", "False"]), st.sampled_from("12")),
    st.builds(lambda bands: ("M0014", {"plan": "1", "status": f"1-{bands},3-{bands // 2}"}), st.integers(0, 60)),
    st.builds(lambda s: ("M0015", {"plan": "1", "status": str(s)}), st.integers(0, 255)),
    st.builds(lambda s: ("M0018", {"plan": "0", "status": str(s)}), st.integers(1, 255)),
    st.builds(lambda on: ("M0007", {"status": on}), st.sampled_from(["True", "False"])),
    st.builds(lambda on: ("M0006", {"status": on, "input": "16"}), st.sampled_from(["True", "False"])),
    st.builds(lambda to: ("M0001", {"status": to, "timeout": "0", "intersection": "0"}), st.sampled_from(["NormalControl", "YellowFlash", "Dark"])),
    st.builds(
        lambda to, id_: ("M0022", {"requestId": id_, "type": "new", "level": "7", "signalGroupId": to}),
        st.sampled_from(["A1", "A2", "B1", "B2"]),
        st.uuids().map(str),
    ),
    st.builds(
        lambda hour: ("M0104", {"year": "2026", "month": "3", "day": "1", "hour": str(hour), "minute": "7", "second": "11"}),
        st.integers(0, 23),
    ),
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wishes=st.lists(st.tuples(_ORDERS, st.integers(1, 90)), min_size=1, max_size=12))
def test_no_order_endangers(
    new_site: Callable[..., Site], wishes: list[tuple[tuple[str, dict[str, str]], int]]
) -> None:
    """Any commands at any moment: conflicts stay apart, and the first green after flash or dark follows the start-up."""
    site = new_site()
    times = {name: each.times() for name, each in site.sheet.signal_groups.items()}
    witness = _Witness(times, {pair: 5.0 for pair in permutations(times, 2) if pair[0][0] != pair[1][0]})

    def look() -> None:
        if site.cabinet.position.in_control:
            witness.see(site.clock.passed_s, {name: site.cabinet.groups.aspect(name) for name in times})
        else:
            witness.last = dict.fromkeys(times, Aspect.RED)
            witness.ended.clear()

    site.each_step = look
    site.wait(4)
    for (code, values), tenths in wishes:
        code_of = {"securityCode": "1111"} if code == "M0104" else {}
        site.order(code, values | code_of)
        look()
        site.wait(tenths / 10)


def test_the_plan_makes_every_group_green(site: Site) -> None:
    """In two cycles each group is green and red, and no moment shows two that conflict."""
    seen: set[str] = set()
    site.each_step = lambda: seen.add(str(site.read("S0001", "signalgroupstatus")))

    site.wait(90)

    for place in range(4):
        shown = {each[place] for each in seen}
        assert {"1", "N"} <= shown, shown
    assert not [each for each in seen if set(each[:2]) & set("01234N") and set(each[2:]) & set("01234N")]


@pytest.mark.parametrize(("seconds", "shown"), [(0.1, "eeee"), (1.9, "eeee"), (2.1, "ffff"), (2.4, "gggg")])
def test_power_on_begins_with_the_start_up(new_site: Callable[..., Site], seconds: float, shown: str) -> None:
    """The self-test makes the first interval longer; then each has its length."""
    site = new_site()

    site.wait(seconds)

    assert site.read("S0001", "signalgroupstatus") == shown
    assert (site.read("S0005"), site.read("S0020", "controlmode")) == ("True", "startup")
