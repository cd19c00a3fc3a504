"""No-data rules: who fell silent, on which clock, and who is only gone."""

from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from maasloop.api.device.v1.device_pb2 import District
from maasloop.api.notification.v1.alert_pb2 import Alert, AlertRule, SilenceCondition

if TYPE_CHECKING:
    from services.notification.tests.conftest import City, Eventually, FakeRegistry, Running, Start

SILENT = AlertRule(
    district="noord",
    category="noise",
    silence=SilenceCondition(observed_property="noise-level", after=Duration(seconds=60)),
    title={"nl": "{device} zwijgt", "en": "{device} is silent"},
    body={"nl": "{value} s sinds {time}", "en": "{value} s since {time}"},
)
MINUTE_US = 60_000_000


async def _open(notification: "Running") -> dict[str, Alert]:
    return {alert.device: alert for alert in await notification.alerts() if alert.state == Alert.STATE_RAISED}


async def test_a_silent_device_raises_and_its_next_reading_resolves(
    notification: "Running", city: "City", eventually: "Eventually"
) -> None:
    """A device whose last reading is too old raises one alert; those that go on speaking raise none."""
    await notification.create_rule(SILENT)
    now_us = city.clock.now_us()
    await city.readings(
        "noise-level", [("quiet", now_us - 2 * MINUTE_US, 40.0), ("loud", now_us, 80.0)], domain="noise"
    )

    async def raised() -> Alert | None:
        return (await _open(notification)).get("quiet")

    alert = await eventually(raised)
    assert alert.body["en"].startswith("12")
    assert set(await _open(notification)) == {"quiet"}
    await city.readings("noise-level", [("quiet", city.clock.now_us(), 40.0)], domain="noise")

    async def resolved() -> bool:
        return not await _open(notification)

    await eventually(resolved)
    assert [(one.device, one.occurrence_count) for one in await notification.alerts()] == [("quiet", 1)]


async def test_words_break_silence_too(notification: "Running", city: "City", eventually: "Eventually") -> None:
    """A property whose results are words is watched as numbers are."""
    await notification.create_rule(SILENT)
    now_us = city.clock.now_us()
    await city.readings("noise-level", [], domain="noise", states=[("quiet", now_us - 2 * MINUTE_US, "on")])

    async def raised() -> Alert | None:
        return (await _open(notification)).get("quiet")

    await eventually(raised)
    await city.readings("noise-level", [], domain="noise", states=[("quiet", now_us, "on")])

    async def resolved() -> bool:
        return not await _open(notification)

    await eventually(resolved)


async def test_silence_is_noticed_across_a_restart(start: "Start", city: "City", eventually: "Eventually") -> None:
    """A device that was heard before a restart and is not heard after it is missed."""
    first = await start()
    await first.create_rule(SILENT)
    now_us = city.clock.now_us()
    await city.readings("noise-level", [("quiet", now_us - MINUTE_US + 5_000_000, 40.0)], domain="noise")

    async def written() -> bool:
        # What is raised for another device proves that the first message was heard.
        return "marker" in await _open(first)

    await city.readings("noise-level", [("marker", now_us - 2 * MINUTE_US, 40.0)], domain="noise")
    await eventually(written)
    await first.end()
    second = await start()

    async def raised() -> bool:
        return "quiet" in await _open(second)

    await eventually(raised)
    assert len(await second.alerts()) == 2


async def test_a_retired_device_is_not_missed(
    notification: "Running", city: "City", registry: "tuple[FakeRegistry, str]", eventually: "Eventually"
) -> None:
    """A device that is out of service for good raises nothing."""
    registry[0].retired.add("districts/noord/devices/gone")
    await notification.create_rule(SILENT)
    old_us = city.clock.now_us() - 2 * MINUTE_US
    await city.readings("noise-level", [("gone", old_us, 40.0), ("quiet", old_us, 40.0)], domain="noise")

    async def raised() -> bool:
        return "quiet" in await _open(notification)

    await eventually(raised)
    assert set(await _open(notification)) == {"quiet"}


async def test_a_field_clock_alone_tells_the_time(
    start: "Start", city: "City", registry: "tuple[FakeRegistry, str]", eventually: "Eventually"
) -> None:
    """In a district with a clock of its own nothing is late before that clock says so, whatever the wall says."""
    registry[0].districts["noord"] = District(
        name="districts/noord", display_name="Noord", clock=District.CLOCK_FIELD, clock_device="clock"
    )
    notification = await start()
    await notification.create_rule(SILENT)
    begin_us = city.clock.now_us() - 60 * MINUTE_US
    await city.readings("noise-level", [("quiet", begin_us, 40.0), ("loud", begin_us, 40.0)], domain="noise")
    await city.readings("street-second", [("clock", begin_us + MINUTE_US // 2, 0.0)], domain="traffic")
    await city.readings("noise-level", [("loud", begin_us + MINUTE_US, 40.0)], domain="noise")
    await city.readings("street-second", [("other", begin_us + 9 * MINUTE_US, 0.0)], domain="traffic")
    await city.readings("street-second", [("clock", begin_us + MINUTE_US + 1_000_000, 0.0)], domain="traffic")

    async def raised() -> Alert | None:
        return (await _open(notification)).get("quiet")

    alert = await eventually(raised)
    assert alert.body["en"].startswith("61 s")
    assert set(await _open(notification)) == {"quiet"}
