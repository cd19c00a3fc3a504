"""What is written by hand equals what the contract says."""

import json
import re

from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given
from hypothesis import strategies as st

from maasloop.actuation.adapters import sql
from maasloop.actuation.adapters.downlink import device_command
from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.command import Command, State
from maasloop.actuation.domain.plans.setpoints import (
    BESIDE,
    NAMES,
    Act,
    AlarmHandling,
    Change,
    ClockSetting,
    ControllerOrder,
    DetectorSetting,
    EmergencyRoute,
    ForcedState,
    InputSetting,
    InputSettings,
    Mode,
    OperatingMode,
    SecurityCodeChange,
    SignalBand,
    SignalPlan,
    SignalPriority,
    TrafficSituation,
    VehicleType,
)
from maasloop.actuation.domain.setpoint import LightLevel, LocalControl, Setpoint, SignalSequence
from maasloop.actuation.domain.setpoint_json import WORDS, from_json, to_json
from maasloop.actuation.domain.signal_reasons import _REASONS
from maasloop.actuation.domain.signals.kernel import RefusalReason, SequenceStep
from maasloop.actuation.entrypoints.setpoints import from_message, to_message
from maasloop.api.command.v1.command_pb2 import DeviceCommand
from maasloop.api.command.v1.command_pb2 import Setpoint as Setpoints

ASPECTS = st.dictionaries(st.sampled_from(["g0", "g1", "g2"]), st.sampled_from(sorted(WORDS)), min_size=1)
STEPS = st.lists(st.builds(SequenceStep, st.integers(0, 60), ASPECTS), min_size=1, max_size=5).map(tuple)
NUMBERS, WORD, FORCED = st.integers(0, 255), st.text("ab", max_size=2), st.sampled_from(ForcedState)
PERHAPS = st.none() | NUMBERS
BANDS = st.lists(st.builds(SignalBand, NUMBERS, NUMBERS), max_size=3).map(tuple)
SETTINGS = st.lists(st.builds(InputSetting, NUMBERS, FORCED), max_size=3).map(tuple)
ORDERS: st.SearchStrategy[ControllerOrder] = st.one_of(
    st.builds(SignalPlan, NUMBERS, BANDS, PERHAPS, PERHAPS),
    st.builds(OperatingMode, st.sampled_from(Mode), WORD),
    st.builds(TrafficSituation, NUMBERS, st.booleans()),
    st.builds(EmergencyRoute, NUMBERS, st.booleans()),
    st.builds(InputSettings, SETTINGS),
    st.builds(DetectorSetting, WORD, FORCED),
    st.builds(
        SignalPriority, WORD, st.sampled_from(Change), WORD, PERHAPS, PERHAPS, NUMBERS, PERHAPS,
        st.sampled_from(VehicleType),
    ),
    st.builds(ClockSetting, WORD),
    st.builds(SecurityCodeChange, NUMBERS, WORD),
    st.builds(AlarmHandling, st.sampled_from(Act), WORD, WORD, WORD),
)  # fmt: skip
SETPOINTS = st.one_of(
    st.builds(LightLevel, st.floats(0, 100), st.floats(0, 60)),
    st.builds(SignalSequence, STEPS, ASPECTS),
    st.just(LocalControl()),
    ORDERS,
)


@given(SETPOINTS)
def test_a_setpoint_survives_every_form(setpoint: Setpoint) -> None:
    """Through JSON text and through the message it stays the same."""
    assert from_json(json.dumps(to_json(setpoint))) == setpoint
    assert from_message(to_message(setpoint)) == setpoint


@given(SETPOINTS)
def test_the_downlink_is_protobuf_json(setpoint: Setpoint) -> None:
    """A device that reads with the contract's own parser reads what was meant."""
    command = Command(
        id="c1",
        district="noord",
        device="lamp-1",
        setpoint=setpoint,
        authority=Authority.ADAPTIVE,
        issuer="policies/follow",
        cause="x",
        state=State.ACCEPTED,
        create_time_us=1,
        not_before_us=1_764_000_000_000_001,
        expire_us=1_764_000_900_000_001,
        verify_by_us=1,
    )
    read = ParseDict(device_command(command), DeviceCommand())

    assert (read.command_id, read.device) == ("c1", "lamp-1")
    assert (read.not_before_time_us, read.expire_time_us) == (command.not_before_us, command.expire_us)
    assert MessageToDict(read.setpoint) == MessageToDict(to_message(setpoint))


def test_every_reason_of_the_signal_kernel_has_a_name_in_the_contract() -> None:
    """A new reason of the kernel must be given one."""
    assert set(_REASONS) == {reason.name for reason in RefusalReason}


def test_every_setpoint_of_the_contract_has_its_kind() -> None:
    """A setpoint that is added to the contract is read here, too."""
    fields = {field.json_name for field in Setpoints.DESCRIPTOR.oneofs_by_name["setpoint"].fields}

    assert fields == {"lightLevel", "signalSequence", "localControl", *NAMES.values()}


def test_the_store_tells_setpoints_apart_by_how_they_begin() -> None:
    """A kind that is added stands beside the lease, or is taken back, in the queries as well."""
    empty = {kind: json.dumps(to_json(kind())) for kind in NAMES}

    assert {kind for kind, text in empty.items() if re.match(sql.BESIDE, text)} == set(BESIDE)
    ended_by_itself = {OperatingMode, ClockSetting, SecurityCodeChange, AlarmHandling}
    assert {kind for kind, text in empty.items() if not re.match(sql.STANDING_KINDS, text)} == ended_by_itself
