"""The kernel, rule by rule: what breaks one is refused with its reason and the groups it concerns."""

from dataclasses import replace

import pytest

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.actuation.domain.signals.kernel import (
    RATE_MAX,
    Permitted,
    RefusalReason,
    Refused,
    SequenceRequest,
    SequenceStep,
    Verdict,
    judge,
    record,
)
from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.state import JunctionState, Lease

SECOND = 100


def showing(sheet: Sheet, text: str, *, since_s: int = 30, called: str = "", called_s: int = 0) -> JunctionState:
    """Return a state at ``SECOND`` that has shown ``text`` for ``since_s``, groups in ``called`` for ``called_s``."""
    state = JunctionState.first_seen(sheet, SECOND - since_s, sheet.read_state(text))
    for second in range(SECOND - since_s + 1, SECOND + 1):
        waiting = frozenset(called) if second > SECOND - called_s else frozenset()
        state = state.observe(second, sheet.read_state(text), waiting)
    return state


def ask(sheet: Sheet, start: str, *steps: tuple[int, str], expires_s: int = 60, at_s: int = 1) -> SequenceRequest:
    """Return a request that begins ``at_s`` after ``SECOND`` and expires ``expires_s`` after it."""
    return SequenceRequest(
        junction="crossing",
        steps=tuple(SequenceStep(offset, sheet.read_state(text)) for offset, text in steps),
        start_state=sheet.read_state(start),
        not_before_s=SECOND + at_s,
        expires_s=SECOND + expires_s,
        issuer="test",
        authority=Authority.ADAPTIVE,
    )


def refused(verdict: Verdict, reason: RefusalReason, *groups: str) -> None:
    """Check that a verdict is a refusal for this reason, with a detail, on these groups."""
    assert isinstance(verdict, Refused), verdict
    assert verdict.reason is reason, verdict
    assert verdict.detail
    if groups:
        assert verdict.groups == groups


def good(sheet: Sheet) -> SequenceRequest:
    """Return a change from a, b, d to c as the rules want it."""
    return ask(sheet, "GGrgr", (0, "yyryr"), (4, "rrrrr"), (5, "rrGrr"))


def test_a_sound_change_is_permitted(sheet: Sheet) -> None:
    """A change with full yellow, intergreen and minimum green passes."""
    assert isinstance(judge(sheet, showing(sheet, "GGrgr"), good(sheet)), Permitted)


@pytest.mark.parametrize(
    ("steps", "reason", "groups"),
    [
        (((0, "GGGgr"),), RefusalReason.CONFLICT, ("a", "c")),
        (((0, "GGrgG"),), RefusalReason.CONFLICT, ("a", "e")),
        (((0, "GGrGr"),), RefusalReason.BOTH_PROTECTED, ("d", "b")),
        (((0, "yyryr"), (4, "rrGrr")), RefusalReason.INTERGREEN, ("a", "c")),
        (((0, "yyryr"), (2, "yyGyr"), (4, "rrGrr")), RefusalReason.INTERGREEN, ("a", "c")),
        (((0, "yyryr"), (3, "rrrrr"), (5, "rrGrr")), RefusalReason.YELLOW_LENGTH, ("a",)),
        (((0, "yyryr"), (9, "rrrrr"), (12, "rrGrr")), RefusalReason.YELLOW_LENGTH, ("a",)),
        (((0, "rrrrr"),), RefusalReason.TRANSITION, ("a",)),
        (((0, "yGrgr"), (4, "GGrgr")), RefusalReason.TRANSITION, ("a",)),
        (((0, "GGygr"), (4, "GGrgr")), RefusalReason.TRANSITION, ("c",)),
        (((0, "yGrgr"), (4, "rGrgr"), (5, "GGrgr"), (7, "yGrgr"), (11, "rGrgr")), RefusalReason.MINIMUM_GREEN, ("a",)),
        (((0, "yyryr"),), RefusalReason.SEQUENCE_MALFORMED, ("a",)),
        (((1, "yyryr"), (5, "rrrrr")), RefusalReason.SEQUENCE_MALFORMED, ()),
        (((0, "yyryr"), (4, "rrrrr"), (4, "rrGrr")), RefusalReason.SEQUENCE_MALFORMED, ()),
        (((0, "OOOOO"),), RefusalReason.ASPECT_FORBIDDEN, ("a",)),
        (((0, "ooooo"),), RefusalReason.ASPECT_FORBIDDEN, ("a",)),
    ],
)
def test_a_broken_rule_is_named(
    sheet: Sheet, steps: tuple[tuple[int, str], ...], reason: RefusalReason, groups: tuple[str, ...]
) -> None:
    """Each rule of the street refuses the sequence that breaks it, with the groups that do."""
    refused(judge(sheet, showing(sheet, "GGrgr"), ask(sheet, "GGrgr", *steps)), reason, *groups)


def test_minimum_green_counts_from_the_street(sheet: Sheet) -> None:
    """A group that became green three seconds ago may not end now."""
    refused(judge(sheet, showing(sheet, "GGrgr", since_s=3), good(sheet)), RefusalReason.MINIMUM_GREEN, "a")


def test_the_intergreen_counts_from_the_street(sheet: Sheet) -> None:
    """After c, whose intergreen is two seconds, a may not start one second after its yellow."""
    state = showing(sheet, "rryrr", since_s=4)
    state = state.observe(SECOND + 1, sheet.read_state("rrrrr"))
    request = replace(ask(sheet, "rrrrr", (0, "GrrrR".replace("R", "r"))), not_before_s=SECOND + 2)
    refused(judge(sheet, state, request), RefusalReason.INTERGREEN, "c", "a")
    assert isinstance(judge(sheet, state, replace(request, not_before_s=SECOND + 3)), Permitted)


def test_what_is_not_known_counts_as_just_begun(sheet: Sheet) -> None:
    """After a silence in which a whole change may have happened, a green counts as just begun."""
    state = showing(sheet, "GGrgr").observe(SECOND + 20, sheet.read_state("GGrgr"))
    request = replace(good(sheet), not_before_s=SECOND + 21)
    refused(judge(sheet, state, request), RefusalReason.MINIMUM_GREEN, "a")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"junction": "elsewhere"}, RefusalReason.JUNCTION_UNKNOWN),
        ({"not_before_s": SECOND}, RefusalReason.NOT_BEFORE_PAST),
        ({"not_before_s": SECOND - 5}, RefusalReason.NOT_BEFORE_PAST),
        ({"not_before_s": SECOND + 30}, RefusalReason.NOT_BEFORE_FAR),
        ({"expires_s": SECOND + 5}, RefusalReason.EXPIRY_INVALID),
        ({"expires_s": SECOND + 181}, RefusalReason.EXPIRY_INVALID),
    ],
)
def test_the_frame_of_a_request_is_judged(sheet: Sheet, change: dict[str, float | str], reason: RefusalReason) -> None:
    """Junction, beginning and expiry are judged before the street is."""
    request = replace(good(sheet), **change)  # type: ignore[arg-type]  # the fields are parametrized
    refused(judge(sheet, showing(sheet, "GGrgr"), request), reason)


def test_unknown_and_missing_groups_are_refused(sheet: Sheet) -> None:
    """A step names every group of the junction and no other."""
    state, request = showing(sheet, "GGrgr"), good(sheet)
    more = SequenceStep(0, {**request.steps[0].aspects, "z": Aspect.RED})
    less = SequenceStep(0, {name: aspect for name, aspect in request.steps[0].aspects.items() if name != "e"})
    refused(judge(sheet, state, replace(request, steps=(more,))), RefusalReason.GROUP_UNKNOWN, "z")
    refused(judge(sheet, state, replace(request, steps=(less,))), RefusalReason.GROUP_MISSING, "e")


def test_a_request_starts_from_what_is_shown(sheet: Sheet) -> None:
    """A request that starts from another state than the street shows is refused."""
    refused(judge(sheet, showing(sheet, "GGrGr"), good(sheet)), RefusalReason.START_STATE_DIFFERS, "d")


def test_a_sequence_is_played_to_its_end(sheet: Sheet) -> None:
    """While a permitted sequence runs no other one is, whoever asks."""
    state = showing(sheet, "GGrgr")
    verdict = judge(sheet, state, good(sheet))
    assert isinstance(verdict, Permitted)
    state = record(state, verdict).observe(SECOND + 1, sheet.read_state("yyryr"))
    request = replace(
        ask(sheet, "yyryr", (0, "yyryr"), (3, "rrrrr"), at_s=2), issuer="police", authority=Authority.EMERGENCY
    )
    refused(judge(sheet, state, request), RefusalReason.SEQUENCE_RUNNING)


def test_a_lease_keeps_equals_and_weaker_out(sheet: Sheet) -> None:
    """While one issuer holds the junction only a stronger one may ask."""
    state = replace(showing(sheet, "GGrgr"), lease=Lease("operator", Authority.OPERATOR, SECOND + 30))
    refused(judge(sheet, state, good(sheet)), RefusalReason.LEASE_HELD)
    assert isinstance(judge(sheet, state, replace(good(sheet), authority=Authority.EMERGENCY)), Permitted)
    assert isinstance(judge(sheet, state, replace(good(sheet), issuer="operator")), Permitted)


def test_requests_are_limited_in_rate(sheet: Sheet) -> None:
    """More than the permitted number of sequences in a minute is refused."""
    recent = tuple(float(SECOND - second) for second in range(1, RATE_MAX + 1))
    state = replace(showing(sheet, "GGrgr"), accepted_s=recent)
    refused(judge(sheet, state, good(sheet)), RefusalReason.RATE_LIMITED)


def test_green_ends_while_a_foe_waits(sheet: Sheet) -> None:
    """A green may not be held for longer than its maximum after a conflicting group was called."""
    state = showing(sheet, "GGrgr", since_s=90, called="c", called_s=40)
    hold = ask(sheet, "GGrgr", (0, "GGrgr"), expires_s=60)
    refused(judge(sheet, state, hold), RefusalReason.MAXIMUM_GREEN, "a", "c")
    assert isinstance(judge(sheet, state, replace(hold, expires_s=SECOND + 15)), Permitted)
    assert isinstance(judge(sheet, showing(sheet, "GGrgr", since_s=90), hold), Permitted)


def test_a_green_that_returns_is_bounded_too(sheet: Sheet) -> None:
    """Ending it and starting it again in one sequence does not let somebody who waits wait for longer."""
    state = showing(sheet, "GGrgr", since_s=70, called="c", called_s=45)
    again = ask(sheet, "GGrgr", (0, "yyryr"), (4, "rrrrr"), (6, "GGrgr"), expires_s=75)
    refused(judge(sheet, state, again), RefusalReason.MAXIMUM_GREEN, "a", "c")
    assert isinstance(judge(sheet, state, replace(again, expires_s=SECOND + 60)), Permitted)


def test_nobody_waits_too_long(sheet: Sheet) -> None:
    """A called group that a request leaves red beyond the maximum wait makes it refused; serving it is permitted."""
    state = showing(sheet, "rrGrr", since_s=110, called="be", called_s=105)
    away = ask(sheet, "rrGrr", (0, "rryrr"), (4, "rrrrr"), (6, "Grrrr"), expires_s=30)
    refused(judge(sheet, state, away), RefusalReason.MAXIMUM_WAIT)
    serve = ask(sheet, "rrGrr", (0, "rryrr"), (4, "rrrrr"), (6, "rrrrG"), expires_s=30)
    assert isinstance(judge(sheet, state, serve), Permitted)
