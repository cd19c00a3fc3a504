"""One trace goes from the door to the lamp and back, and no panel of a dashboard is empty while the loop runs.

``MAASLOOP_TEST_PICTURES=directory`` draws what the panels hold at the end; ``make pictures`` does so for the docs.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.cabinet import FACTS, LAMPS, Cabinet, follow, register, verified
from tests.observability.pictures import draw_all
from tests.observability.queries import counted_names, panel_queries

from maasloop.api.device.v1.device_pb2 import Device
from maasloop.stack.servers.databases import SERVICES
from maasloop.twin.devices.readings import Reading

if TYPE_CHECKING:
    from tests.e2e.conftest import Shown, Town
    from tests.observability.collector import Heard

PICTURES = "MAASLOOP_TEST_PICTURES"
PICTURED_S = 120
WAIT_S = 120.0
BIKE = Device(
    name="bike",
    device_type="deviceTypes/bike-sensor",
    data_subject="dataSubjects/anna",
    processing_activity="processingActivities/bike-air",
)


@asynccontextmanager
async def _street(town: "Town") -> AsyncIterator[Cabinet]:
    """Let three lamps live that follow whoever passes."""
    await register(town)
    await follow(town)
    async with town.link("cabinet", *LAMPS) as link:
        cabinet = Cabinet(link)
        living = [asyncio.create_task(cabinet.obey()), asyncio.create_task(cabinet.tick(town))]
        try:
            await town.record(Reading("dusk", "illuminance", town.now_us(), 2.0))
            yield cabinet
        finally:
            for task in living:
                task.cancel()
            await asyncio.gather(*living, return_exceptions=True)


async def _pass_by(town: "Town", cabinet: Cabinet, lamp: str) -> None:
    """Let somebody pass a lamp, which is then raised."""
    await cabinet.see(town, lamp, 0.0)
    await verified(town, lamp, FACTS.floor_percent, 1)
    await cabinet.see(town, lamp, 1.0)
    await verified(town, lamp, FACTS.class_level_percent, 1)


async def _consent_and_withdraw(town: "Town") -> None:
    await town.add_devices([BIKE], Reading("dusk", "illuminance", town.now_us(), 2.0))
    record = await town.grant("anna", "bike-air")

    async def accepted(count: int) -> bool:
        return (await town.record(Reading("bike", "pm25", town.now_us(), 12.0))).accepted_count == count

    await town.until(lambda: accepted(1))
    await town.withdraw(record)
    await town.until(lambda: accepted(0))


async def _whole_trace(shown: "Shown") -> "dict[str, Heard]":
    """Return the spans of one trace by name, as soon as a command's is whole."""
    needed = {"record_mqtt", "publish_readings", "decide", "dispatch_command", "acknowledge_command", "verify_command"}
    for proven in shown.collector.spans("verify_command"):
        spans = {one.name: one for one in shown.collector.spans(trace_id=proven.trace_id)}
        if needed <= spans.keys():
            return spans
    return {}


async def _panels_without_data(shown: "Shown") -> list[str]:
    return [
        f"{query.dashboard} / {query.panel}: {query.expression}"
        for query in panel_queries()
        if not await asyncio.to_thread(shown.prometheus.now, query.expression)
    ]


@pytest.mark.timeout(300)
async def test_one_trace_from_door_to_lamp_and_no_empty_panel(shown: "Shown") -> None:
    """The reading that came by MQTT is the root; decision, command, answer and proof lie below it, in three services."""
    town = shown.town
    async with _street(town) as cabinet:
        for lamp in LAMPS:
            await _pass_by(town, cabinet, lamp)
        await _consent_and_withdraw(town)
        trace = await town.until(lambda: _whole_trace(shown), timeout_s=WAIT_S)

        empty: list[str] = []

        async def none_empty() -> bool:
            empty[:] = await _panels_without_data(shown)
            return not empty

        try:
            await town.until(none_empty, timeout_s=WAIT_S)
        except TimeoutError:
            pytest.fail("empty: " + "\n".join(empty))
        if folder := os.environ.get(PICTURES):
            await asyncio.to_thread(draw_all, shown.prometheus, Path(folder), PICTURED_S)

    assert trace["record_mqtt"].parent_id == ""
    assert {trace[name].service for name in ("record_mqtt", "publish_readings")} == {"ingest"}
    assert trace["publish_readings"].parent_id == trace["record_mqtt"].span_id
    assert trace["decide"].parent_id == trace["publish_readings"].span_id
    for name in ("dispatch_command", "acknowledge_command", "verify_command"):
        assert trace[name].service == "actuation"
        assert trace[name].parent_id == trace["decide"].span_id, name
    (proof,) = trace["verify_command"].links
    assert proof != trace["decide"].trace_id
    assert any(one.name == "record_mqtt" for one in shown.collector.spans(trace_id=proof))


@pytest.mark.timeout(120)
async def test_metrics_go_to_the_collector_as_well(shown: "Shown") -> None:
    """All six services send theirs by OTLP, under the names of the reference."""

    async def all_heard() -> bool:
        with shown.collector.lock:
            return shown.collector.metrics.keys() == set(SERVICES)

    await shown.town.until(all_heard)

    with shown.collector.lock:
        heard = {name for names in shown.collector.metrics.values() for name in names if name.startswith("maasloop_")}
    assert heard <= counted_names()
    assert {"maasloop_ingest_readings_total", "maasloop_actuation_reaction_seconds"} <= heard
