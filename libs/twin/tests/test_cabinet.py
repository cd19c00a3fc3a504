"""The street cabinet: what its lamps tell, and how troubled lamps behave."""

from maasloop.api.command.v1.command_pb2 import DeviceCommand, LightLevel, LocalControl, Setpoint
from maasloop.twin.devices.cabinet import SILENCE_S, TROUBLE_AFTER_S, Cabinet, MountedLamp, Trouble
from maasloop.twin.devices.lamp import Lamp
from maasloop.twin.devices.lighting import RESIDENTIAL, LampPlace
from maasloop.twin.devices.readings import MICROSECONDS, Reading

BEGIN_S = 1_000
PLACE = LampPlace("lamp-0001", 0.0, 0.0, "street-a", "cabinet-01", RESIDENTIAL)


def cabinet_with(trouble: Trouble = Trouble.NONE) -> Cabinet:
    """Return a cabinet with one lamp."""
    return Cabinet("cabinet-01", [MountedLamp(PLACE, Lamp(RESIDENTIAL), trouble)], begin_s=BEGIN_S)


def light(name: str, level_percent: float, *, at: int, ramp_s: float = 0.0) -> DeviceCommand:
    """Return a command to the lamp."""
    return DeviceCommand(
        command_id=name,
        device="lamp-0001",
        setpoint=Setpoint(light_level=LightLevel(level_percent=level_percent, ramp_s=ramp_s)),
        not_before_time_us=at * MICROSECONDS,
        expire_time_us=(at + 900) * MICROSECONDS,
    )


def tick(cabinet: Cabinet, second: int, *, present: bool = False) -> list[Reading]:
    """Let a second pass."""
    return cabinet.tick(second, {"lamp-0001": present})


def told(readings: list[Reading]) -> dict[str, object]:
    """Return results by observed property."""
    return {reading.observed_property: reading.result for reading in readings}


def test_presence_is_told_when_it_changes() -> None:
    """Somebody comes, stays, and leaves: two readings, not three."""
    cabinet = cabinet_with()
    tick(cabinet, BEGIN_S)

    assert told(tick(cabinet, BEGIN_S + 1, present=True)) == {"presence": 1.0}
    assert told(tick(cabinet, BEGIN_S + 2, present=True)) == {}
    assert told(tick(cabinet, BEGIN_S + 3)) == {"presence": 0.0}


def test_level_and_power_are_told_after_a_command_and_when_the_ramp_ends() -> None:
    """The power meter's word on the target level is what a command is verified by, also where nothing changes."""
    cabinet = cabinet_with()
    tick(cabinet, BEGIN_S)
    cabinet.hear(light("c1", 30.0, at=BEGIN_S + 1, ramp_s=3.0))
    said = [told(tick(cabinet, BEGIN_S + second)) for second in range(1, 5)]

    assert [len(one) for one in said] == [2, 0, 2, 0]
    assert said[2] == {"light-level": 30.0, "power": round(RESIDENTIAL.power_w(30.0), 2)}


def test_an_answer_is_the_same_when_a_command_comes_again() -> None:
    """Sending a command again until it is answered is safe."""
    cabinet = cabinet_with()
    first = cabinet.hear(light("c1", 30.0, at=BEGIN_S + 1))
    again = cabinet.hear(light("c1", 30.0, at=BEGIN_S + 1))

    assert first == again
    assert first is not None
    assert not first.refusal


def test_only_a_dimmed_lamp_awaits_light() -> None:
    """Presence must cause a command where a command holds the lamp below its class level."""
    cabinet = cabinet_with()
    tick(cabinet, BEGIN_S)
    tick(cabinet, BEGIN_S + 1, present=True)
    before = cabinet.take_awaited()
    tick(cabinet, BEGIN_S + 2)
    cabinet.hear(light("c1", 30.0, at=BEGIN_S + 3))
    tick(cabinet, BEGIN_S + 3)
    tick(cabinet, BEGIN_S + 4, present=True)

    assert before == []
    assert cabinet.take_awaited() == ["lamp-0001"]


def test_a_refusing_lamp_says_why() -> None:
    """It behaves at first, then refuses and stays as it is."""
    cabinet = cabinet_with(Trouble.REFUSING)
    tick(cabinet, BEGIN_S)
    early = cabinet.hear(light("c1", 30.0, at=BEGIN_S + 1))
    tick(cabinet, BEGIN_S + TROUBLE_AFTER_S)
    later = cabinet.hear(light("c2", 80.0, at=BEGIN_S + TROUBLE_AFTER_S + 1))

    assert early is not None
    assert not early.refusal
    assert later is not None
    assert later.refusal == "DRIVER_FAULT"
    assert cabinet.lamps["lamp-0001"].refused == ["c2"]


def test_a_silent_lamp_drops_commands_and_says_nothing() -> None:
    """It neither answers nor tells anything for a while; a command that comes again counts once."""
    cabinet = cabinet_with(Trouble.SILENT)
    start = BEGIN_S + TROUBLE_AFTER_S
    tick(cabinet, start)
    answers = [cabinet.hear(light("c1", 30.0, at=start + 1)), cabinet.hear(light("c1", 30.0, at=start + 1))]
    quiet = [tick(cabinet, start + second, present=True) for second in range(1, SILENCE_S)]

    assert answers == [None, None]
    assert not any(quiet)
    assert cabinet.lamps["lamp-0001"].dropped == ["c1"]
    assert told(tick(cabinet, start + SILENCE_S, present=True))["presence"] == 1.0


def test_local_control_is_obeyed() -> None:
    """A release ends the command."""
    cabinet = cabinet_with()
    tick(cabinet, BEGIN_S)
    cabinet.hear(light("c1", 30.0, at=BEGIN_S + 1))
    tick(cabinet, BEGIN_S + 1)
    release = DeviceCommand(command_id="c2", device="lamp-0001", setpoint=Setpoint(local_control=LocalControl()))
    answer = cabinet.hear(release)

    assert answer is not None
    assert not cabinet.lamps["lamp-0001"].lamp.commanded
