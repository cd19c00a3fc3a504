"""Commands, overrides, policies and decisions as the messages of the contract."""

import math

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.batch import Decision
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.override import Override
from maasloop.actuation.domain.policy import Mode, Policy, Scope
from maasloop.actuation.domain.signal_prediction import Movement, MovementPhaseState, SignalPrediction
from maasloop.actuation.entrypoints import setpoints
from maasloop.api.command.v1 import command_pb2, command_service_pb2, events_pb2, policy_service_pb2
from maasloop.rpc.times import duration_from_s, s_from_duration, timestamp_from_us

_STATES = {state: command_pb2.Command.State.Value(f"STATE_{state}") for state in State}
_STATES_READ: dict[int, State] = {int(number): state for state, number in _STATES.items()}
_AUTHORITIES = {one: command_pb2.Authority.Value(f"AUTHORITY_{one.name}") for one in Authority}
_PHASES = {one: events_pb2.MovementPhaseState.Value(f"MOVEMENT_PHASE_STATE_{one.name}") for one in MovementPhaseState}
_MODES = {mode: policy_service_pb2.Policy.Mode.Value(f"MODE_{mode}") for mode in Mode}
_MODES_READ: dict[int, Mode] = {int(number): mode for mode, number in _MODES.items()}
_SCOPES = {scope: policy_service_pb2.Policy.Scope.Value(f"SCOPE_{scope}") for scope in Scope}
_SCOPES_READ: dict[int, Scope] = {int(number): scope for scope, number in _SCOPES.items()}


def command_message(command: Command) -> command_pb2.Command:
    """Return a command as callers see it."""
    message = command_pb2.Command(
        name=f"districts/{command.district}/commands/{command.id}",
        device=command.device,
        setpoint=setpoints.to_message(command.setpoint),
        authority=_AUTHORITIES[command.authority],
        state=_STATES[command.state],
        reason=command.reason,
        detail=command.detail,
        issuer=command.issuer,
        cause=command.cause,
        create_time=timestamp_from_us(command.create_time_us),
        not_before_time=timestamp_from_us(command.not_before_us),
        expire_time=timestamp_from_us(command.expire_us),
    )
    if command.dispatch_time_us:
        message.dispatch_time.CopyFrom(timestamp_from_us(command.dispatch_time_us))
    if command.settle_time_us:
        message.settle_time.CopyFrom(timestamp_from_us(command.settle_time_us))
    return message


class MessageCodec:
    """Events as they travel."""

    def command_changed(self, command: Command) -> bytes:
        """Return the body of a command's event."""
        return events_pb2.CommandChanged(command=command_message(command)).SerializeToString()

    def decision_recorded(self, decision: Decision) -> bytes:
        """Return the body of a decision's event."""
        return events_pb2.DecisionRecorded(
            district=decision.district,
            street_second=decision.street_second,
            command_ids=decision.command_ids,
            reasons=[
                events_pb2.DecisionReason(target=one.target, decision=one.decision, detail=one.detail)
                for one in decision.reasons
            ],
            reading_count=decision.reading_count,
            announced_count=decision.announced_count,
            late=decision.late,
            digest=decision.digest,
        ).SerializeToString()

    def signal_predicted(self, prediction: SignalPrediction) -> bytes:
        """Return the body of a prediction."""
        return events_pb2.SignalPredicted(
            district=prediction.district,
            device=prediction.device,
            street_second=prediction.street_second,
            movements=[_movement(one) for one in prediction.movements],
        ).SerializeToString()


def _movement(movement: Movement) -> events_pb2.MovementEvent:
    message = events_pb2.MovementEvent(signal_group=movement.group, state=_PHASES[movement.state])
    change = movement.change
    if change is not None:
        message.min_end_time.FromSeconds(int(change.earliest_s))
        message.likely_time.FromSeconds(round(change.likely_s))
        message.max_end_time.FromSeconds(math.ceil(change.latest_s))
        message.confidence = change.confidence
    return message


def state_read(number: int) -> State | None:
    """Return a state of the contract; nothing for the unspecified one."""
    return _STATES_READ.get(number)


def authority_read(number: int) -> Authority:
    """Return an authority of the contract; a person's where none is said."""
    return Authority(number) if number else Authority.OPERATOR


def mode_read(number: int) -> Mode:
    """Return a mode of the contract."""
    return _MODES_READ[number]


def override_message(override: Override) -> command_service_pb2.Override:
    """Return an override as callers see it."""
    message = command_service_pb2.Override(
        name=f"districts/{override.district}/overrides/{override.id}",
        setpoint=setpoints.to_message(override.setpoint),
        end_time=timestamp_from_us(override.end_us),
        authority=_AUTHORITIES[override.authority],
        justification=override.justification,
        create_time=timestamp_from_us(override.create_time_us),
    )
    if override.device:
        message.device = override.device
    else:
        message.device_group = override.group
    if override.ended_time_us:
        message.ended_time.CopyFrom(timestamp_from_us(override.ended_time_us))
    return message


def policy_message(policy: Policy) -> policy_service_pb2.Policy:
    """Return a policy as callers see it."""
    return policy_service_pb2.Policy(
        name=f"policies/{policy.id}",
        display_name=policy.display_name,
        district=policy.district,
        observed_properties=policy.observed_properties,
        on_condition=policy.on_condition,
        off_condition=policy.off_condition,
        hold=duration_from_s(policy.hold_us / 1_000_000),
        scope=_SCOPES[policy.scope],
        on_level_percent=policy.on_level_percent,
        off_level_percent=policy.off_level_percent,
        mode=_MODES[policy.mode],
        version=policy.version,
        update_time=timestamp_from_us(policy.update_time_us),
        etag=policy.etag,
    )


def policy_read(name: str, message: policy_service_pb2.Policy) -> Policy:
    """Read a policy that somebody writes; its mode and version are the service's."""
    return Policy(
        id=name,
        display_name=message.display_name,
        district=message.district,
        observed_properties=tuple(message.observed_properties),
        on_condition=message.on_condition,
        off_condition=message.off_condition,
        hold_us=int(s_from_duration(message.hold) * 1_000_000),
        scope=_SCOPES_READ.get(message.scope, Scope.DEVICE),
        on_level_percent=message.on_level_percent,
        off_level_percent=message.off_level_percent,
    )
