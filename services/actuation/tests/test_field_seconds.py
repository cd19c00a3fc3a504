"""A district with a field clock: seconds are counted, decided in lockstep, and signals obey and are verified."""

# ruff: noqa: ANN401 - the classes of the fixtures live in conftest, which cannot be imported by name

from collections.abc import Callable
from typing import Any

import pytest

from maasloop.actuation.domain.signals.sheet import (
    Detector,
    DetectorPosition,
    Lane,
    LocalProgramme,
    LocalStep,
    Sheet,
    SignalGroup,
)
from maasloop.actuation.domain.signals.sheet_data import write_sheet
from maasloop.api.command.v1.command_pb2 import Command
from maasloop.api.command.v1.events_pb2 import DecisionRecorded
from maasloop.api.device.v1 import device_pb2
from maasloop.api.observation.v1.events_pb2 import DeviceResponse

SECOND_US = 1_000_000
CHARACTERS = {
    "SIGNAL_ASPECT_RED": "r",
    "SIGNAL_ASPECT_YELLOW": "y",
    "SIGNAL_ASPECT_GREEN": "G",
    "SIGNAL_ASPECT_GREEN_PERMISSIVE": "g",
}
LOOPS = ("loop-a", "loop-b")


def _crossing() -> Sheet:
    groups = tuple(
        SignalGroup(name, "vehicle", (f"lane-{name}",), ("out",), "s", 4.0, 1.0, 5.0, 60.0, 120.0)
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
def crossing(servers: Any) -> str:
    """Add a field clock and a crossing to the registry."""
    registry = servers.registry
    registry.add(
        district=device_pb2.District(
            name="districts/noord", clock=device_pb2.District.CLOCK_FIELD, clock_device="street-clock"
        )
    )
    registry.add_type("street-clock")
    registry.add_type("signal-controller", device_pb2.DeviceType.CAPABILITY_SIGNAL_SEQUENCE)
    registry.add_type("induction-loop")
    registry.add_device("street-clock", "street-clock")
    registry.add_device("crossing", "signal-controller", write_sheet(_crossing()))
    for loop in LOOPS:
        registry.add_device(loop, "induction-loop")
    return "crossing"


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

    async def pass_second(self, *, announced: int = 5) -> DecisionRecorded:
        """Let a second pass: report it, announce it, and wait for the decision."""
        self._show()
        time_us = self.second * SECOND_US
        numbers = [(loop, "vehicle-count", 0.0, time_us) for loop in LOOPS]
        numbers += [("loop-a", "occupancy", 0.0, time_us), ("loop-b", "occupancy", 1.0, time_us)]
        await self.world.report(numbers, [("crossing", "signal-state", self.state, time_us)], domain="traffic")
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


async def test_signals_follow_the_queue_and_are_verified(crossing: str, world: Any, now_us: Callable[[], int]) -> None:
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


async def test_a_second_with_missing_readings_is_decided_late(
    crossing: str, world: Any, now_us: Callable[[], int]
) -> None:
    """A second of which a reading never comes is decided after the patience, and says so."""
    street = Street(world, now_us() // SECOND_US - 600)
    await street.pass_second()

    decision = await street.pass_second(announced=6)

    assert decision.late
    assert (decision.reading_count, decision.announced_count) == (5, 6)
