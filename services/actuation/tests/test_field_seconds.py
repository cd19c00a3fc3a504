"""Seconds of a district: counted and decided in lockstep with a field clock, or once a second of UTC."""

# ruff: noqa: ANN401 - the classes of the fixtures live in conftest, which cannot be imported by name

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import grpc
import pytest
from nats.aio.msg import Msg

from maasloop.actuation.domain.signals.sheet import (
    Detector,
    DetectorPosition,
    GroupKind,
    Lane,
    LocalProgramme,
    LocalStep,
    Sheet,
    SignalGroup,
)
from maasloop.actuation.domain.signals.sheet_data import write_sheet
from maasloop.api.command.v1.command_pb2 import Command, Setpoint, SignalAspect, SignalSequence, SignalStep
from maasloop.api.command.v1.command_service_pb2 import GetSignalDecisionRequest, IssueCommandRequest
from maasloop.api.command.v1.events_pb2 import (
    MOVEMENT_PHASE_STATE_PROTECTED_MOVEMENT_ALLOWED,
    DecisionRecorded,
    SignalPredicted,
)
from maasloop.api.device.v1 import device_pb2
from maasloop.api.observation.v1.events_pb2 import DeviceResponse
from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest, RecordObservationsResponse
from maasloop.bus.subjects import INGEST_RECORD, SIGNAL_PREDICTED
from maasloop.rpc.times import timestamp_from_us

SECOND_US = 1_000_000
CHARACTERS = {
    "SIGNAL_ASPECT_RED": "r",
    "SIGNAL_ASPECT_YELLOW": "y",
    "SIGNAL_ASPECT_GREEN": "G",
    "SIGNAL_ASPECT_GREEN_PERMISSIVE": "g",
}
LOOPS = ("loop-a", "loop-b")
PREDICTED = tuple(f"signal-change-{what}" for what in ("earliest", "likely", "latest", "confidence"))


def _crossing() -> Sheet:
    groups = tuple(
        SignalGroup(name, GroupKind.VEHICLE, (f"lane-{name}",), ("out",), "s", 4.0, 1.0, 5.0, 60.0, 120.0)
        for name in ("a", "b")
    )
    steps = (LocalStep("Gr", 30), LocalStep("yr", 4), LocalStep("rr", 2), LocalStep("rG", 30), LocalStep("ry", 4))
    return Sheet(
        junction="crossing",
        groups=groups,
        compatible=frozenset(),
        declared_conflicts=frozenset({("a", "b")}),
        yields=frozenset(),
        intergreens_s={("a", "b"): 1.0, ("b", "a"): 1.0},
        lanes=tuple(Lane(f"lane-{name}", 13.9, 2.0, 80.0) for name in ("a", "b")),
        exits=("out",),
        detectors=tuple(
            Detector(f"loop-{name}", DetectorPosition.STOP_LINE, 0.0, ((f"lane-{name}", 1.0),)) for name in ("a", "b")
        ),
        local=LocalProgramme(0.0, (*steps, LocalStep("rr", 2))),
    )


@pytest.fixture
def field_clock(servers: Any) -> None:
    """Let a device move the district's clock."""
    servers.registry.add(
        district=device_pb2.District(
            name="districts/noord", clock=device_pb2.District.CLOCK_FIELD, clock_device="street-clock"
        )
    )


@pytest.fixture
def crossing(servers: Any) -> str:
    """Add a crossing with its loops, and a clock device, to the registry."""
    registry = servers.registry
    registry.add_type("street-clock")
    registry.add_type("signal-controller", device_pb2.DeviceType.CAPABILITY_SIGNAL_SEQUENCE)
    registry.add_type("induction-loop")
    registry.add_device("street-clock", "street-clock")
    registry.add_device("crossing", "signal-controller", write_sheet(_crossing()))
    for loop in LOOPS:
        registry.add_device(loop, "induction-loop")
    return "crossing"


@pytest.fixture
def observing(servers: Any, crossing: str) -> None:
    """Let the controller observe the next changes of its signals, and its loops queues and travel times."""
    kinds = {"signal-controller": PREDICTED, "induction-loop": ("queue-length", "travel-time")}
    for name, properties in kinds.items():
        device_type = device_pb2.DeviceType(name=f"deviceTypes/{name}")
        device_type.observed_properties.extend(f"observedProperties/{one}" for one in properties)
        if properties is PREDICTED:
            device_type.capabilities.append(device_pb2.DeviceType.CAPABILITY_SIGNAL_SEQUENCE)
        servers.registry.add(device_type=device_type)


class Street:
    """Plays the crossing: vehicles wait at b, the signals show what they are told, from green at a."""

    def __init__(self, world: Any, begin: int) -> None:
        """Begin with green at a."""
        self.world = world
        self.second = begin
        self.state = "Gr"
        self.sequence: dict[str, Any] | None = None
        world.answer = self.obey

    async def obey(self, command: dict[str, Any]) -> None:
        """Take a sequence and acknowledge."""
        self.sequence = command
        await self.world.respond(command, DeviceResponse.ANSWER_ACKNOWLEDGED)

    async def report(self) -> None:
        """Report what loops and signals show in this second."""
        self._show()
        time_us = self.second * SECOND_US
        numbers = [(loop, "vehicle-count", 0.0, time_us) for loop in LOOPS]
        numbers += [("loop-a", "occupancy", 0.0, time_us), ("loop-b", "occupancy", 1.0, time_us)]
        await self.world.report(numbers, [("crossing", "signal-state", self.state, time_us)], domain="traffic")

    async def pass_second(self, *, announced: int = 5) -> DecisionRecorded:
        """Let a second pass: report it, announce it, and wait for the decision."""
        await self.report()
        time_us = self.second * SECOND_US
        clock = [("street-clock", "street-second", float(self.second), time_us)]
        clock += [("street-clock", "readings-sent-traffic", float(announced), time_us)]
        await self.world.report(clock, domain="traffic")
        found: list[DecisionRecorded] = []

        def decided() -> bool:
            records = [DecisionRecorded.FromString(body) for subject, body in self.world.facts if "decision" in subject]
            found[:] = [record for record in records if record.street_second == self.second]
            return bool(found)

        await self.world.until(decided)
        await self.world.until(lambda: set(found[0].command_ids) <= self.world.known)
        self.second += 1
        return found[0]

    def _show(self) -> None:
        if self.sequence is None:
            return
        begins = int(self.sequence["notBeforeTimeUs"]) // SECOND_US
        for step in self.sequence["setpoint"]["signalSequence"]["steps"]:
            if self.second >= begins + step["offsetS"]:
                self.state = "".join(CHARACTERS[step["aspects"][group]] for group in ("a", "b"))


async def test_signals_follow_the_queue_and_are_verified(
    field_clock: None, crossing: str, world: Any, now_us: Callable[[], int]
) -> None:
    """Vehicles that wait get green by a sequence with its clearance, and the state read afterwards verifies it."""
    street = Street(world, now_us() // SECOND_US - 600)
    decisions = [await street.pass_second() for _ in range(30)]

    assert street.state == "rG"
    assert [one.late for one in decisions] == [False] * 30
    assert {(one.reading_count, one.announced_count) for one in decisions} == {(5, 5)}
    ids = [name for one in decisions for name in one.command_ids]
    assert ids == [command["commandId"] for command in world.received]
    found = await world.until_state(ids[0], Command.STATE_VERIFIED)
    assert found.issuer == "controllers/crossing"


async def test_a_decision_is_explained_afterwards(
    field_clock: None, crossing: str, world: Any, now_us: Callable[[], int]
) -> None:
    """The second in which b was asked for tells what was compared, who waited, and that the command was verified."""
    street = Street(world, now_us() // SECOND_US - 600)
    decisions = [await street.pass_second() for _ in range(30)]
    asked = next(one for one in decisions if one.reasons[0].decision == "clearance")
    await world.until_state(asked.command_ids[0], Command.STATE_VERIFIED)
    name = "districts/noord/devices/{}/signalDecisions/{}"
    told = await world.commands.GetSignalDecision(
        GetSignalDecisionRequest(name=name.format("crossing", asked.street_second))
    )
    again = await world.commands.GetSignalDecision(
        GetSignalDecisionRequest(name=name.format("crossing", asked.street_second + 1))
    )

    assert (told.decision, told.detail) == (asked.reasons[0].decision, asked.reasons[0].detail)
    assert (list(told.stages[0].signal_groups), list(told.chosen_signal_groups)) == (["b"], ["b"])
    assert told.stages[0].index > told.stages[1].index
    assert [one.signal_group for one in told.called_groups] == ["b"]
    assert told.aspects == {"a": SignalAspect.SIGNAL_ASPECT_GREEN, "b": SignalAspect.SIGNAL_ASPECT_RED}
    assert told.command.state == Command.STATE_VERIFIED
    assert (again.decision, again.command.name) == ("hold", told.command.name)


@pytest.mark.parametrize(
    ("device", "ahead", "said"),
    [("crossing", 100, "the nearest seconds kept: "), ("corner", 0, "no junction corner with a signal controller")],
)
async def test_what_was_not_decided_is_not_explained(
    field_clock: None, crossing: str, world: Any, now_us: Callable[[], int], device: str, ahead: int, said: str
) -> None:
    """Where nothing was decided the nearest second is named, and where there is no junction those that are known."""
    street = Street(world, now_us() // SECOND_US - 600)
    decided = (await street.pass_second()).street_second
    name = f"districts/noord/devices/{device}/signalDecisions/{decided + ahead}"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await world.commands.GetSignalDecision(GetSignalDecisionRequest(name=name))

    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    assert said in str(refused.value.details())
    assert (str(decided) if ahead else "crossing") in str(refused.value.details())


async def test_changes_are_predicted_and_reported(
    field_clock: None, observing: None, world: Any, now_us: Callable[[], int]
) -> None:
    """What a sequence will show is told to the second on the subject and to ingest; so are queues, every ten seconds."""
    reported: dict[tuple[str, str, int], float | str] = {}

    async def record(message: Msg) -> None:
        columns = RecordObservationsRequest.FromString(message.data).observations
        devices, names = columns.dictionary.devices, columns.dictionary.observed_properties
        index = zip(columns.device_index, columns.property_index, columns.event_time_us, columns.value, strict=True)
        reported.update({(devices[d], names[p], at // SECOND_US): value for d, p, at, value in index})
        for one in columns.states:
            place = devices[one.device_index], names[one.property_index], one.event_time_us // SECOND_US
            reported[place] = one.state
        await message.respond(RecordObservationsResponse().SerializeToString())

    await world.bus.listen(INGEST_RECORD, record)
    await world.bus.listen(SIGNAL_PREDICTED.wildcard(), world.hear_fact)
    begin = (now_us() // SECOND_US - 600) // 10 * 10
    street = Street(world, begin)
    decisions = [await street.pass_second() for _ in range(30)]
    asked = next(one for one in decisions if one.reasons[0].decision == "clearance").street_second
    await world.until(lambda: ("crossing", "signal-change-likely", asked) in reported)
    told = [SignalPredicted.FromString(body) for subject, body in world.facts if ".signal." in subject]
    (movement, _) = next(one for one in told if one.street_second == asked).movements

    assert (movement.signal_group, movement.state) == ("a", MOVEMENT_PHASE_STATE_PROTECTED_MOVEMENT_ALLOWED)
    assert movement.min_end_time.seconds == movement.max_end_time.seconds == asked + 1
    assert movement.confidence == 1.0
    # Green ends with the next second; a yellow of 4 s and an all-red of 1 s follow before the other one begins.
    assert reported["crossing", "signal-change-likely", asked] == "1 6"
    assert reported["crossing", "signal-change-confidence", asked] == "100 100"
    assert float(reported["loop-b", "queue-length", begin + 10]) >= 1
    assert reported["loop-a", "travel-time", begin + 10] == pytest.approx(80 / 13.9, abs=0.1)
    assert ("loop-a", "travel-time", begin + 11) not in reported


async def test_a_second_with_missing_readings_is_decided_late(
    field_clock: None, crossing: str, world: Any, now_us: Callable[[], int]
) -> None:
    """A second of which a reading never comes is decided after the patience, and says so."""
    street = Street(world, now_us() // SECOND_US - 600)
    await street.pass_second()

    decision = await street.pass_second(announced=6)

    assert decision.late
    assert (decision.reading_count, decision.announced_count) == (5, 6)


async def test_two_runs_decide_the_same(
    field_clock: None, crossing: str, world: Any, now_us: Callable[[], int]
) -> None:
    """The digest of a second tells what was decided and not when: the same street gives the same digests."""
    street = Street(world, now_us() // SECOND_US - 600)
    first = [(await street.pass_second()).digest for _ in range(3)]
    again = Street(world, street.second + 100)
    second = [(await again.pass_second()).digest for _ in range(3)]

    assert first[1:] == second[1:]


async def test_a_wall_clock_decides_once_a_second(crossing: str, world: Any, now_us: Callable[[], int]) -> None:
    """Where no device moves the clock, the controller looks at its junction every second of UTC."""
    street = Street(world, now_us() // SECOND_US)
    while not world.received:
        street.second = now_us() // SECOND_US
        await street.report()
        await asyncio.sleep(0.5)
    assert street.sequence is not None
    ends = max(step["offsetS"] for step in street.sequence["setpoint"]["signalSequence"]["steps"])
    ends += int(street.sequence["notBeforeTimeUs"]) // SECOND_US
    while now_us() // SECOND_US <= ends:
        street.second = now_us() // SECOND_US
        await street.report()
        await asyncio.sleep(0.5)

    first = await world.until_state(world.received[0]["commandId"], Command.STATE_VERIFIED)
    assert first.issuer == "controllers/crossing"


async def test_a_junction_whose_signals_are_not_heard_is_held(
    field_clock: None, crossing: str, world: Any, now_us: Callable[[], int]
) -> None:
    """Without a signal state nothing is asked for, and the decision says why."""
    street = Street(world, now_us() // SECOND_US - 600)
    street.state = "?!"
    decision = await street.pass_second()

    assert list(decision.command_ids) == []
    assert [(one.target, one.decision) for one in decision.reasons] == [("crossing", "hold")]


async def test_a_refused_data_sheet_is_never_commanded(servers: Any, make_world: Any) -> None:
    """A sheet that contradicts itself makes every command to its junction REFUSED, with the reason."""
    sheet = write_sheet(_crossing()) | {"compatible": [["a", "b"]]}
    servers.registry.add_type("signal-controller", device_pb2.DeviceType.CAPABILITY_SIGNAL_SEQUENCE)
    servers.registry.add_device("crossing", "signal-controller", sheet)
    async with make_world() as world:
        step = SignalStep(aspects={"a": SignalAspect.SIGNAL_ASPECT_RED, "b": SignalAspect.SIGNAL_ASPECT_RED})
        command = await world.commands.IssueCommand(
            IssueCommandRequest(
                parent="districts/noord",
                command=Command(device="crossing", setpoint=Setpoint(signal_sequence=SignalSequence(steps=[step]))),
                request_id=str(uuid4()),
            )
        )

    assert command.state == Command.STATE_REFUSED
    assert command.reason == "DATA_SHEET_INVALID"


async def test_a_person_may_ask_for_a_sequence_that_is_safe(
    field_clock: None, crossing: str, world: Any, now_us: Callable[[], int]
) -> None:
    """The kernel names the pair of an unsafe sequence, and lets a safe one through, which the street then shows."""
    street = Street(world, now_us() // SECOND_US - 600)
    for _ in range(2):
        await street.pass_second()
    refused = await world.commands.IssueCommand(_sequence([(0, "GG")], street.second + 20))
    held = await world.commands.IssueCommand(_sequence([(0, "Gr")], street.second + 20))
    for _ in range(2):
        await street.pass_second()

    assert (refused.state, refused.reason) == (Command.STATE_REFUSED, "SIGNAL_CONFLICT")
    assert held.state == Command.STATE_DISPATCHED
    assert (await world.until_state(held.name, Command.STATE_VERIFIED)).detail == "shows Gr"


def _sequence(steps: list[tuple[int, str]], expire_s: int) -> IssueCommandRequest:
    """Ask for state texts, one character a group, from green at a."""
    aspects = {"G": SignalAspect.SIGNAL_ASPECT_GREEN, "r": SignalAspect.SIGNAL_ASPECT_RED}
    sequence = SignalSequence(
        steps=[
            SignalStep(offset_s=offset_s, aspects={group: aspects[one] for group, one in zip("ab", text, strict=True)})
            for offset_s, text in steps
        ],
        start_state={"a": SignalAspect.SIGNAL_ASPECT_GREEN, "b": SignalAspect.SIGNAL_ASPECT_RED},
    )
    return IssueCommandRequest(
        parent="districts/noord",
        command=Command(
            device="crossing",
            setpoint=Setpoint(signal_sequence=sequence),
            expire_time=timestamp_from_us(expire_s * SECOND_US),
        ),
        request_id=str(uuid4()),
    )
