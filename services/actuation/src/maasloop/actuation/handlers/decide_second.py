"""One second of a district: every signal controller and, where the clock is the field's, every policy, in fixed order.

Everything that is decided on a second acts from the next one. The outcome is told also when everything holds, because
the twin waits for it.
"""

import hashlib
from collections.abc import Sequence

import structlog

from maasloop.actuation.domain.arbitration import Lost, arbitrate
from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.barrier import SecondReady
from maasloop.actuation.domain.batch import Batch, Decision, DecisionReason
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.evaluation import Evaluation
from maasloop.actuation.domain.issuing import Request, issue
from maasloop.actuation.domain.junction import Junction
from maasloop.actuation.domain.reading import SECOND_US, Reading
from maasloop.actuation.domain.reporting import report_links, report_prediction
from maasloop.actuation.domain.setpoint import LightLevel, LocalControl, Setpoint, SignalSequence
from maasloop.actuation.domain.signal_decision import SignalDecision, called_groups, told_stages
from maasloop.actuation.domain.signal_prediction import predicted
from maasloop.actuation.domain.signals.aspects import GREENS
from maasloop.actuation.domain.signals.bands import AskBands
from maasloop.actuation.domain.signals.bands_kernel import RefusedBands
from maasloop.actuation.domain.signals.controller import Ask, Hold, Release
from maasloop.actuation.domain.signals.traffic.neighbourhood import NOTHING_HEARD

Choice = Hold | Ask | AskBands | Release

_log = structlog.get_logger()


class DecideSecond:
    """Decides; what it returns is not durable yet."""

    def __init__(self, city: City, evaluation: Evaluation) -> None:
        """Use the policies at work."""
        self._city = city
        self._evaluation = evaluation

    def __call__(
        self, district: District, ready: SecondReady, readings: Sequence[Reading], due: Batch, wall_us: int
    ) -> Batch:
        """Decide on a second of a field-clock district, readings in any order, after what was due by time."""
        moment = Moment(ready.second * SECOND_US, wall_us)
        batch = due
        reasons = self.control_signals(district, ready.second, moment, batch)
        ordered = sorted(readings, key=lambda one: (one.time_us, one.device, one.observed_property))
        for step in (
            self._evaluation.hear(district, ordered, moment),
            self._evaluation.pass_time(district, moment),
            self._evaluation.keep_some(district, moment),
        ):
            batch.merge(step)
        issued = [command for command in batch.commands if command.state is State.ACCEPTED]
        reasons += [_reason(command) for command in issued if isinstance(command.setpoint, LightLevel)]
        batch.decisions.append(_decision(district, ready, issued, reasons))
        return batch

    def control_signals(self, district: District, second: int, moment: Moment, batch: Batch) -> list[DecisionReason]:
        """Let every signal controller decide on a second; append what it leads to, and return why."""
        reasons = []
        for device in sorted(district.facts.junctions):
            junction = district.junction(device)
            if junction is None:
                continue
            known = len(batch.commands)
            try:
                decision = junction.decide(second, district.heard.get(junction.sheet.junction, NOTHING_HEARD))
            except Exception as error:
                # One junction's fault leaves that junction to its local programme and the others at work.
                _log.exception("controller_failed", district=district.id, device=device)
                district.junctions[device] = junction = junction.successor(junction.sheet, by_plan=junction.by_plan)
                decision = Hold(f"the controller failed: {type(error).__name__}")
                reason = DecisionReason(device, "fallback", decision.reason)
            else:
                reason = self._act(district, device, decision, second, moment, batch)
            asked = batch.commands[-1] if len(batch.commands) > known else None
            batch.signal_decisions.append(_why(district, junction, decision, reason, asked, moment))
            reasons.append(reason)
            told = predicted(district.id, device, junction, second, local=district.released)
            if told is not None:
                batch.predictions.append(told)
                batch.reports.extend(report_prediction(self._city, district, told))
                batch.reports.extend(report_links(self._city, district, junction, second))
        district.pass_on(second)
        return reasons

    def _act(
        self, district: District, device: str, decision: Choice, second: int, moment: Moment, batch: Batch
    ) -> DecisionReason:
        if isinstance(decision, Hold):
            return DecisionReason(device, "hold", decision.reason)
        if district.released:
            return DecisionReason(device, "fallback", "the district is under local control")
        holder = district.holder(device, moment.street_us)
        issuer = district.junctions[device].controller.issuer
        outcome = arbitrate(holder, Authority.ADAPTIVE, issuer, moment.street_us)
        if isinstance(outcome, Lost):
            return DecisionReason(device, "hold", outcome.detail)
        wished = _wishes(district.junctions[device], decision)
        if isinstance(wished, RefusedBands):
            return DecisionReason(device, "hold", f"{wished.reason}: {wished.detail}")
        for number, (setpoint, expires_s) in enumerate(wished):
            request = Request(
                device=device,
                setpoint=setpoint,
                authority=Authority.ADAPTIVE,
                issuer=issuer,
                cause=f"{device}/signal-state@{moment.street_us}",
                seed=f"{second}/{number}" if number else f"{second}",
                expire_us=int(expires_s * SECOND_US),
            )
            issued = issue(district, self._city.capabilities_of(district.device(device)), request, moment)
            batch.merge(issued)
            refused = next((one for one in issued.commands if one.state is State.REFUSED), None)
            if refused is not None:
                return DecisionReason(device, "hold", f"{refused.reason}: {refused.detail}")
        if isinstance(decision, AskBands):
            district.junctions[device].adjust(decision.request)
        return DecisionReason(device, _word(decision), decision.reason)


def _wishes(junction: Junction, decision: Ask | AskBands | Release) -> list[tuple[Setpoint, float]] | RefusedBands:
    """Return what is asked for, each with the second at which it expires (0: as such setpoints do), or why it may not."""
    match decision:
        case Ask():
            wish = decision.request
            return [(SignalSequence(wish.steps, wish.start_state), wish.expires_s)]
        case AskBands():
            orders = junction.orders(decision.request)
            if isinstance(orders, RefusedBands):
                return orders
            return [(order, decision.request.expires_s) for order in orders]
        case Release():
            return [(LocalControl(), 0.0)]


def _why(
    district: District,
    junction: Junction,
    decision: Choice,
    reason: DecisionReason,
    asked: Command | None,
    moment: Moment,
) -> SignalDecision:
    state = junction.state
    holder = district.holders.get(reason.target)
    return SignalDecision(
        district=district.id,
        device=reason.target,
        street_second=moment.street_us // SECOND_US,
        wall_us=moment.wall_us,
        decision=reason.decision,
        detail=reason.detail,
        command_id=asked.id if asked is not None else holder.command if holder is not None else "",
        aspects={} if state is None else state.aspects(),
        chosen=_chosen(decision),
        stages=told_stages(decision.ranked),
        called=() if state is None else called_groups(state.groups, state.second_s),
    )


def _chosen(decision: Choice) -> tuple[str, ...]:
    match decision:
        case Ask():
            return tuple(one for one, shown in decision.request.steps[-1].aspects.items() if shown in GREENS)
        case AskBands():
            return tuple(sorted(decision.chosen))
        case _:
            return ()


def _word(decision: Choice) -> str:
    match decision:
        case Ask():
            return "clearance" if len(decision.request.steps) > 1 else "stage"
        case AskBands():
            return "plan"
        case _:
            return "fallback"


def _reason(command: Command) -> DecisionReason:
    level = command.setpoint.level_percent if isinstance(command.setpoint, LightLevel) else 0.0
    return DecisionReason(command.device, "policy", f"{level:g} % for {command.issuer}")


def _decision(
    district: District, ready: SecondReady, issued: Sequence[Command], reasons: Sequence[DecisionReason]
) -> Decision:
    # Ids hold the time of day; two runs that decide the same must have the same digest, so it is made of what they say.
    digest = hashlib.sha256()
    for reason in reasons:
        digest.update(f"{reason.target}\n{reason.decision}\n{reason.detail}\n".encode())
    return Decision(
        district=district.id,
        key=district.clock.device,
        street_second=ready.second,
        command_ids=tuple(command.id for command in issued),
        reasons=tuple(reasons),
        reading_count=ready.counted,
        announced_count=ready.announced,
        late=ready.late,
        digest=digest.hexdigest(),
    )
