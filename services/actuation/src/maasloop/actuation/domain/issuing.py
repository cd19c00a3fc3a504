"""From a request to a command: fit for the device, arbitrated, judged by the safety kernel, stored or refused.

Every request enters here: those of people and those of policies and controllers. A refusal is a command as well, in
state REFUSED with its reason; nothing of it is sent.
"""

import hashlib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import assert_never

from maasloop.core.reasons import Reason

from .arbitration import Holder, Lost, arbitrate
from .authority import Authority
from .batch import Batch
from .command import Command, State, settled
from .district import District, Moment
from .facts import Capability
from .journal import Entry, JournalEntry
from .lamps import kernel as lamp_kernel
from .plans import kernel as plan_kernel
from .plans.setpoints import ControllerOrder
from .reading import SECOND_US
from .setpoint import LightLevel, LocalControl, Setpoint, SignalSequence, holds
from .signal_reasons import reason_of
from .signals import kernel as signal_kernel
from .verification import patience_us

EXPIRY_LAMPS_S = 900
EXPIRY_SIGNALS_S = 180
EXPIRY_LOCAL_S = 60
EXPIRY_ORDERS_S = 900
NOT_BEFORE_AHEAD_MAX_S = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Somebody wants an actuator to be or do something."""

    device: str
    setpoint: Setpoint
    authority: Authority
    issuer: str
    cause: str
    seed: str
    """What makes the command one: the same issuer, seed and device, or digest, give the same id, also after a restart."""
    not_before_us: int = 0
    """District's clock; 0 = as soon as may be."""
    expire_us: int = 0
    """District's clock; 0 = the default of the setpoint."""
    digest: str = ""
    """What else must be the same where the seed is an idempotency key that a caller chose."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request becomes no command that is sent."""

    reason: Reason
    detail: str


def command_id(district: str, request: Request) -> str:
    """Return the id of the command that a request leads to: a key that came with one device is refused with another."""
    device = "" if request.digest else request.device
    text = f"{district}\n{device}\n{request.issuer}\n{request.seed}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def issue(district: District, capabilities: AbstractSet[Capability], request: Request, moment: Moment) -> Batch:
    """Decide on a request, change the district accordingly, and return what must be durable before anything is sent."""
    draft = _draft(district, request, moment)
    if draft.id in district.commands:
        # The same request again, for example after a restart: it is on its way.
        return Batch()
    refusal = _unfit(district, capabilities, request, draft, moment) or _outranked(district, request, moment)
    if refusal is not None:
        return _refused(draft, refusal, moment)
    match request.setpoint:
        case LightLevel() as level:
            return _light(district, draft, level, moment)
        case SignalSequence() as sequence:
            return _sequence(district, draft, sequence, moment, expiry_open=not request.expire_us)
        case LocalControl():
            return _local(district, draft, moment)
        case ControllerOrder() as order:
            return _order(district, draft, order, moment)
        case _ as never:
            assert_never(never)


def _draft(district: District, request: Request, moment: Moment) -> Command:
    earliest_us = moment.street_us
    if district.clock.is_field or isinstance(request.setpoint, SignalSequence):
        # What is decided on a second acts from the next one.
        earliest_us = (moment.street_us // SECOND_US + 1) * SECOND_US
    not_before_us = request.not_before_us or earliest_us
    return Command(
        id=command_id(district.id, request),
        district=district.id,
        device=request.device,
        setpoint=request.setpoint,
        authority=request.authority,
        issuer=request.issuer,
        cause=request.cause,
        state=State.ACCEPTED,
        create_time_us=moment.wall_us,
        not_before_us=not_before_us,
        expire_us=request.expire_us or _expire_us(request.setpoint, not_before_us, moment),
        verify_by_us=not_before_us + patience_us(request.setpoint),
        request_digest=request.digest,
    )


def _expire_us(setpoint: Setpoint, not_before_us: int, moment: Moment) -> int:
    match setpoint:
        case LightLevel():
            return not_before_us + EXPIRY_LAMPS_S * SECOND_US
        case SignalSequence():
            return moment.street_us + EXPIRY_SIGNALS_S * SECOND_US
        case LocalControl():
            return not_before_us + EXPIRY_LOCAL_S * SECOND_US
        case ControllerOrder():
            return not_before_us + EXPIRY_ORDERS_S * SECOND_US
        case _ as never:
            assert_never(never)


def _unfit(
    district: District, capabilities: AbstractSet[Capability], request: Request, draft: Command, moment: Moment
) -> Refusal | None:
    device = district.device(request.device)
    if device is None or not device.active:
        return Refusal(Reason.DEVICE_INACTIVE, f"device {request.device} is not in service")
    if district.released and not isinstance(request.setpoint, LocalControl):
        return Refusal(Reason.LOCAL_CONTROL, f"district {district.id} is under local control")
    wanted = _capability(request.setpoint)
    if (wanted is not None and wanted not in capabilities) or not capabilities:
        return Refusal(Reason.CAPABILITY_MISSING, f"type {device.device_type} does not understand this setpoint")
    described = device.lamp or device.sheet or device.controls
    if device.config_refusal or described is None:
        detail = device.config_refusal or f"device {device.id} has no data sheet"
        return Refusal(Reason.DATA_SHEET_INVALID, detail)
    ahead_s = (draft.not_before_us - moment.street_us) / SECOND_US
    if draft.expire_us <= max(draft.not_before_us, moment.street_us) or ahead_s > NOT_BEFORE_AHEAD_MAX_S:
        return Refusal(Reason.EXPIRY_INVALID, "the expiry lies after the beginning, which is at most an hour ahead")
    return None


def _capability(setpoint: Setpoint) -> Capability | None:
    """Return what a device must understand; everything understands local control."""
    match setpoint:
        case LightLevel():
            return Capability.LIGHT_LEVEL
        case SignalSequence():
            return Capability.SIGNAL_SEQUENCE
        case ControllerOrder():
            return Capability.SIGNAL_PLAN
        case LocalControl():
            return None
        case _ as never:
            assert_never(never)


def _outranked(district: District, request: Request, moment: Moment) -> Refusal | None:
    holder = district.holder(request.device, moment.street_us)
    outcome = arbitrate(holder, request.authority, request.issuer, moment.street_us)
    return Refusal(outcome.reason, outcome.detail) if isinstance(outcome, Lost) else None


def _light(district: District, draft: Command, level: LightLevel, moment: Moment) -> Batch:
    lamp = district.facts.lamps.get(draft.device)
    if lamp is None:
        return _refused(draft, Refusal(Reason.CAPABILITY_MISSING, f"{draft.device} is no lamp"), moment)
    verdict = lamp_kernel.judge(
        lamp,
        district.lamp_states.get(draft.device),
        level,
        draft.authority,
        street_us=max(moment.street_us, draft.not_before_us),
        expire_us=draft.expire_us,
    )
    if isinstance(verdict, lamp_kernel.Refused):
        return _refused(draft, Refusal(verdict.reason, verdict.detail), moment)
    district.lamp_states[draft.device] = verdict.after
    verify_by_us = draft.not_before_us + patience_us(verdict.setpoint, steady=verdict.steady)
    command = replace(draft, setpoint=verdict.setpoint, detail=verdict.adapted, verify_by_us=verify_by_us)
    return _accepted(district, command, moment)


def _sequence(
    district: District, draft: Command, sequence: SignalSequence, moment: Moment, *, expiry_open: bool
) -> Batch:
    junction = district.junction(draft.device)
    if junction is None:
        return _refused(draft, Refusal(Reason.CAPABILITY_MISSING, f"{draft.device} controls no junction"), moment)
    if expiry_open:
        latest_s = junction.expiry_latest_s(sequence.steps, draft.not_before_us / SECOND_US)
        draft = replace(draft, expire_us=min(draft.expire_us, int(latest_s) * SECOND_US))
    request = signal_kernel.SequenceRequest(
        junction=junction.sheet.junction,
        steps=sequence.steps,
        start_state=sequence.start_state,
        not_before_s=draft.not_before_us / SECOND_US,
        expires_s=draft.expire_us / SECOND_US,
        issuer=draft.issuer,
        authority=draft.authority,
    )
    verdict = junction.judge(request)
    if verdict is None:
        detail = f"what {draft.device} shows is not known"
        return _refused(draft, Refusal(Reason.START_STATE_DIFFERS, detail), moment)
    if isinstance(verdict, signal_kernel.Refused):
        return _refused(draft, Refusal(reason_of(verdict.reason), verdict.detail), moment)
    junction.take(verdict)
    return _accepted(district, draft, moment)


def _order(district: District, draft: Command, order: ControllerOrder, moment: Moment) -> Batch:
    device = district.device(draft.device)
    if device is None or device.controls is None:
        return _refused(draft, Refusal(Reason.CAPABILITY_MISSING, f"{draft.device} runs no plans"), moment)
    state = district.plan_states.get(draft.device, plan_kernel.PlanState())
    request = plan_kernel.OrderRequest(
        order, draft.authority, draft.not_before_us / SECOND_US, draft.expire_us / SECOND_US
    )
    refused = plan_kernel.judge(device.controls, state, request)
    if refused is not None:
        return _refused(draft, Refusal(refused.reason, refused.detail), moment)
    district.plan_states[draft.device] = plan_kernel.record(state, request)
    return _accepted(district, draft, moment)


def _local(district: District, draft: Command, moment: Moment) -> Batch:
    # Always permitted: a lamp returns to its class level, a junction through its own clearance.
    batch = _accepted(district, draft, moment)
    district.holders.pop(draft.device, None)
    district.lamp_states.pop(draft.device, None)
    junction = district.junctions.get(draft.device)
    if junction is not None:
        junction.let_go()
    return batch


def _accepted(district: District, command: Command, moment: Moment) -> Batch:
    batch = Batch()
    if holds(command.setpoint):
        _take_target(district, command, batch, moment)
    district.keep(command)
    batch.commands.append(command)
    batch.journal.append(_journal(command, Entry.COMMAND_ACCEPTED, moment))
    return batch


def _take_target(district: District, command: Command, batch: Batch, moment: Moment) -> None:
    before = district.open_command(command.device)
    if before is not None:
        detail = f"{command.issuer} asked anew"
        ended = settled(before, State.SUPERSEDED, Reason.COMMAND_SUPERSEDED, detail, wall_us=moment.wall_us)
        if ended is not None:
            batch.commands.append(ended)
            district.keep(ended)
    district.holders[command.device] = Holder(
        command.authority, command.issuer, command.expire_us, command.id, command.create_time_us
    )


def _refused(draft: Command, refusal: Refusal, moment: Moment) -> Batch:
    command = replace(
        draft, state=State.REFUSED, reason=str(refusal.reason), detail=refusal.detail, settle_time_us=moment.wall_us
    )
    return Batch(commands=[command], journal=[_journal(command, Entry.COMMAND_REFUSED, moment)])


def _journal(command: Command, entry: Entry, moment: Moment) -> JournalEntry:
    return JournalEntry(
        moment.wall_us, command.district, entry, command.device, command.issuer, command.reason, command.detail
    )
