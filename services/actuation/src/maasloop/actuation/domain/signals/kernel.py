"""The safety kernel for signals: nothing reaches a controller in the street but a sequence that this module permits.

A request is a timed sequence: what every group shows at which second after ``not_before_s``, from a stated start, with
an expiry after which the field returns to its local programme. The whole sequence is judged before it begins.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from maasloop.actuation.domain.authority import Authority

from .aspects import NEVER_REMOTE, Aspect, Aspects
from .sheet import Sheet
from .state import GroupState, JunctionState, Lease
from .timeline import advance

EXPIRY_MAX_S = 180.0
START_AHEAD_MAX_S = 10.0
SEQUENCE_MAX_S = 60.0
STEPS_MAX = 64
RATE_WINDOW_S = 60.0
RATE_MAX = 40


class RefusalReason(StrEnum):
    """Why a request is refused; the first eleven concern the request, the others the street."""

    JUNCTION_UNKNOWN = "JUNCTION_UNKNOWN"
    GROUP_UNKNOWN = "GROUP_UNKNOWN"
    GROUP_MISSING = "GROUP_MISSING"
    ASPECT_FORBIDDEN = "ASPECT_FORBIDDEN"
    SEQUENCE_MALFORMED = "SEQUENCE_MALFORMED"
    NOT_BEFORE_PAST = "NOT_BEFORE_PAST"
    NOT_BEFORE_FAR = "NOT_BEFORE_FAR"
    EXPIRY_INVALID = "EXPIRY_INVALID"
    LEASE_HELD = "LEASE_HELD"
    RATE_LIMITED = "RATE_LIMITED"
    SEQUENCE_RUNNING = "SEQUENCE_RUNNING"
    START_STATE_DIFFERS = "START_STATE_DIFFERS"
    CONFLICT = "CONFLICT"
    BOTH_PROTECTED = "BOTH_PROTECTED"
    INTERGREEN = "INTERGREEN"
    YELLOW_LENGTH = "YELLOW_LENGTH"
    MINIMUM_GREEN = "MINIMUM_GREEN"
    TRANSITION = "TRANSITION"
    MAXIMUM_GREEN = "MAXIMUM_GREEN"
    MAXIMUM_WAIT = "MAXIMUM_WAIT"


@dataclass(frozen=True)
class SequenceStep:
    """What every group shows from ``offset_s`` seconds after the beginning on."""

    offset_s: float
    aspects: Aspects


@dataclass(frozen=True)
class SequenceRequest:
    """A wish: play these steps from ``not_before_s`` on, hold the last one, return to local control at ``expires_s``."""

    junction: str
    steps: tuple[SequenceStep, ...]
    start_state: Aspects
    not_before_s: float
    expires_s: float
    issuer: str
    authority: Authority

    @property
    def ends_s(self) -> float:
        """Return the field second from which the last step is shown."""
        return self.not_before_s + self.steps[-1].offset_s


@dataclass(frozen=True)
class Permitted:
    """The request may go to the field as it is."""

    request: SequenceRequest


@dataclass(frozen=True)
class Refused:
    """The request may not go to the field; ``groups`` is the group, or the ordered pair, that it fails on."""

    reason: RefusalReason
    detail: str
    groups: tuple[str, ...] = ()


Verdict = Permitted | Refused


def judge(sheet: Sheet, state: JunctionState, request: SequenceRequest) -> Verdict:
    """Judge a request on the state of its junction; the time is that of the state."""
    refusal = next(_refusals(sheet, state, request), None)
    return refusal if refusal is not None else Permitted(request)


def record(state: JunctionState, permitted: Permitted) -> JunctionState:
    """Return the state after a permitted request was sent: busy until its sequence ends, leased until it expires."""
    request = permitted.request
    recent = tuple(second for second in state.accepted_s if second > state.second_s - RATE_WINDOW_S)
    return replace(
        state,
        busy_until_s=request.ends_s,
        accepted_s=(*recent, state.second_s),
        lease=Lease(request.issuer, request.authority, request.expires_s),
    )


def forget(state: JunctionState) -> JunctionState:
    """Return the state after the field did not take a request: it plays its local programme, nobody holds it."""
    return replace(state, busy_until_s=state.second_s, lease=None)


def expiry_latest_s(sheet: Sheet, state: JunctionState, steps: tuple[SequenceStep, ...], not_before_s: float) -> float:
    """Return the last expiry that maximum green and maximum wait leave to these steps."""
    latest_s = state.second_s + EXPIRY_MAX_S
    for name, group in state.groups.items():
        since_s, until_s = (_greens(group, name, steps, not_before_s) or [(0.0, 0.0)])[-1]
        waiting = _waiting(sheet, state, name, steps, since_s - not_before_s) if until_s is None else ()
        if waiting:
            latest_s = min(latest_s, max(since_s, min(waiting.values())) + sheet.group[name].maximum_green_s)
    due = _wait_deadline(sheet, state, steps)
    return latest_s if due is None else min(latest_s, due[0])


def _refusals(sheet: Sheet, state: JunctionState, request: SequenceRequest) -> Iterator[Refused]:
    yield from _form(sheet, request)
    yield from _times(state, request)
    yield from _rights(state, request)
    yield from _street(sheet, state, request)
    yield from _bounds(sheet, state, request)


def _form(sheet: Sheet, request: SequenceRequest) -> Iterator[Refused]:
    if request.junction != sheet.junction:
        yield Refused(RefusalReason.JUNCTION_UNKNOWN, f"this sheet is of {sheet.junction}, not {request.junction}")
    offsets = [step.offset_s for step in request.steps]
    increasing = all(before < after for before, after in pairwise(offsets))
    if not 1 <= len(offsets) <= STEPS_MAX or offsets[0] != 0 or not increasing or offsets[-1] > SEQUENCE_MAX_S:
        detail = f"1 to {STEPS_MAX} steps with rising offsets from 0 to at most {SEQUENCE_MAX_S:g} s are needed"
        yield Refused(RefusalReason.SEQUENCE_MALFORMED, detail)
    for aspects in (request.start_state, *(step.aspects for step in request.steps)):
        unknown = next((name for name in aspects if name not in sheet.group), None)
        if unknown is not None:
            yield Refused(RefusalReason.GROUP_UNKNOWN, f"{sheet.junction} has no group {unknown[:80]!r}", (unknown,))
        missing = next((name for name in sheet.group if name not in aspects), None)
        if missing is not None:
            yield Refused(RefusalReason.GROUP_MISSING, f"every step names every group; {missing} lacks", (missing,))
    for step in request.steps:
        forbidden = next((name for name, aspect in step.aspects.items() if aspect in NEVER_REMOTE), None)
        if forbidden is not None:
            detail = f"{step.aspects[forbidden].name} of {forbidden} is never asked for remotely"
            yield Refused(RefusalReason.ASPECT_FORBIDDEN, detail, (forbidden,))
    unfinished = next((name for name, aspect in request.steps[-1].aspects.items() if aspect is Aspect.YELLOW), None)
    if unfinished is not None:
        detail = f"a sequence may not end with {unfinished} in yellow"
        yield Refused(RefusalReason.SEQUENCE_MALFORMED, detail, (unfinished,))


def _times(state: JunctionState, request: SequenceRequest) -> Iterator[Refused]:
    now_s = state.second_s
    if request.not_before_s <= now_s:
        yield Refused(RefusalReason.NOT_BEFORE_PAST, f"second {request.not_before_s:g} has passed, it is {now_s:g}")
    if request.not_before_s > now_s + START_AHEAD_MAX_S:
        detail = f"second {request.not_before_s:g} is more than {START_AHEAD_MAX_S:g} s ahead"
        yield Refused(RefusalReason.NOT_BEFORE_FAR, detail)
    if not request.ends_s < request.expires_s <= now_s + EXPIRY_MAX_S:
        detail = f"expiry must follow the last step and lie within {EXPIRY_MAX_S:g} s; got {request.expires_s:g}"
        yield Refused(RefusalReason.EXPIRY_INVALID, detail)


def _rights(state: JunctionState, request: SequenceRequest) -> Iterator[Refused]:
    lease = state.lease
    foreign = lease is not None and lease.until_s > state.second_s and lease.issuer != request.issuer
    if lease is not None and foreign and lease.authority >= request.authority:
        yield Refused(RefusalReason.LEASE_HELD, f"{lease.issuer} holds the junction until {lease.until_s:g}")
    recent = [second for second in state.accepted_s if second > state.second_s - RATE_WINDOW_S]
    if state.second_s in recent or len(recent) >= RATE_MAX:
        detail = f"at most one request a second and {RATE_MAX} in {RATE_WINDOW_S:g} s"
        yield Refused(RefusalReason.RATE_LIMITED, detail)
    if request.not_before_s < state.busy_until_s:
        detail = f"a sequence runs until second {state.busy_until_s:g} and is played to its end"
        yield Refused(RefusalReason.SEQUENCE_RUNNING, detail)


def _street(sheet: Sheet, state: JunctionState, request: SequenceRequest) -> Iterator[Refused]:
    for name, group in state.groups.items():
        if request.start_state[name] is not group.aspect:
            detail = f"{name} shows {group.aspect.name}, the request starts from {request.start_state[name].name}"
            yield Refused(RefusalReason.START_STATE_DIFFERS, detail, (name,))
    groups = dict(state.groups)
    for step in request.steps:
        groups, breach = advance(sheet, groups, request.not_before_s + step.offset_s, step.aspects)
        if breach is not None:
            yield Refused(RefusalReason(breach.rule.value), breach.detail, breach.groups)


def _bounds(sheet: Sheet, state: JunctionState, request: SequenceRequest) -> Iterator[Refused]:
    """Judge what may not last: green against a waiting foe, and waiting itself."""
    for name, group in state.groups.items():
        timing = sheet.group[name]
        for since_s, until_s in _greens(group, name, request.steps, request.not_before_s):
            waiting = _waiting(sheet, state, name, request.steps, since_s - request.not_before_s)
            if not waiting:
                continue
            foe = min(waiting, key=waiting.__getitem__)
            allowed_s = max(since_s, waiting[foe]) + timing.maximum_green_s
            if until_s is not None:
                # Whatever went before, ending it at the first possible moment is right.
                allowed_s = max(allowed_s, request.not_before_s, since_s + timing.minimum_green_s)
            if (request.expires_s if until_s is None else until_s) > allowed_s:
                detail = f"{name} could stay green for more than {timing.maximum_green_s:g} s while {foe} waits"
                yield Refused(RefusalReason.MAXIMUM_GREEN, detail, (name, foe))
    due = _wait_deadline(sheet, state, request.steps)
    if due is not None and request.expires_s > due[0]:
        detail = f"{due[1]} would wait beyond second {due[0]:g}; serve it, or expire before"
        yield Refused(RefusalReason.MAXIMUM_WAIT, detail, (due[1],))


def _wait_deadline(sheet: Sheet, state: JunctionState, steps: tuple[SequenceStep, ...]) -> tuple[float, str] | None:
    """Return the earliest deadline of a waiting group that these steps leave red, and the group.

    Who serves a group with an earlier deadline may let the later ones wait: served one by one, each wait is bounded.
    """
    left: tuple[float, str] | None = None
    served_s: float | None = None
    for name, group in state.groups.items():
        if group.called_since_s is None or group.green:
            continue
        deadline_s = max(group.since_s, group.called_since_s) + sheet.group[name].maximum_wait_s
        if any(step.aspects[name] in (Aspect.GREEN, Aspect.YIELDING) for step in steps):
            served_s = deadline_s if served_s is None else min(served_s, deadline_s)
        elif left is None or deadline_s < left[0]:
            left = (deadline_s, name)
    return None if left is not None and served_s is not None and served_s <= left[0] else left


def _greens(
    group: GroupState, name: str, steps: tuple[SequenceStep, ...], not_before_s: float
) -> list[tuple[float, float | None]]:
    """Return since when and until when a group is green under these steps, each time; no end where it is held."""
    found: list[tuple[float, float | None]] = []
    since_s = group.since_s if group.green else None
    for step in steps:
        green = step.aspects[name] in (Aspect.GREEN, Aspect.YIELDING)
        second_s = not_before_s + step.offset_s
        if green and since_s is None:
            since_s = second_s
        elif not green and since_s is not None:
            found.append((since_s, second_s))
            since_s = None
    return found if since_s is None else [*found, (since_s, None)]


def _waiting(
    sheet: Sheet, state: JunctionState, name: str, steps: tuple[SequenceStep, ...], until_s: float
) -> dict[str, float]:
    """Return since when the foes of a group wait that these steps do not serve in their first ``until_s`` seconds."""
    shown = [step.aspects for step in steps if step.offset_s < until_s]
    calls = {foe: state.groups[foe].called_since_s for foe in sheet.foes[name]}
    return {
        foe: called_s
        for foe, called_s in calls.items()
        if called_s is not None and not any(one[foe] in (Aspect.GREEN, Aspect.YIELDING) for one in shown)
    }
