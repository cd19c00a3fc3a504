"""A withdrawn consent silences a series: refused at the door, hidden in queries and watches, and kept nowhere."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from maasloop.api.device.v1.device_pb2 import Device
from maasloop.api.observation.v1.ingest_service_pb2 import ListQuarantineRequest
from maasloop.api.observation.v1.ingest_service_pb2_grpc import IngestServiceStub
from maasloop.api.observation.v1.series_service_pb2 import (
    ListLatestObservationsRequest,
    SeriesSelection,
    WatchObservationsRequest,
)
from maasloop.api.observation.v1.series_service_pb2_grpc import SeriesServiceStub
from maasloop.twin.devices.readings import Reading

if TYPE_CHECKING:
    from tests.e2e.conftest import Town

HEARD_WITHIN_S = 5.0
WATCH_TIMEOUT_S = 30.0
DEVICES = (
    Device(
        name="bike",
        device_type="deviceTypes/bike-sensor",
        data_subject="dataSubjects/anna",
        processing_activity="processingActivities/bike-air",
    ),
    Device(name="station", device_type="deviceTypes/air-station"),
)


async def _devices_shown(town: "Town") -> set[str]:
    """Return the devices of which the latest readings are shown."""
    request = ListLatestObservationsRequest(selection=SeriesSelection(parent=town.parent))
    async with town.channel("timeseries") as channel:
        series: Any = SeriesServiceStub(channel)
        answer = await series.ListLatestObservations(request)
    return {one.device.rsplit("/", 1)[-1] for one in answer.observations}


async def _quarantined(town: "Town") -> list[Any]:
    async with town.channel("ingest") as channel:
        ingest: Any = IngestServiceStub(channel)
        answer = await ingest.ListQuarantine(ListQuarantineRequest(parent=town.parent))
    return list(answer.entries)


def _reading(town: "Town") -> Reading:
    return Reading("bike", "pm25", town.now_us(), 12.0)


async def _consented(town: "Town") -> str:
    """Let readings of the bike be stored and shown with the cyclist's consent; returns the record."""
    await town.add_devices(DEVICES, Reading("station", "pm25", town.now_us(), 8.0))
    record = await town.grant("anna", "bike-air")

    async def both_shown() -> bool:
        accepted = (await town.record(_reading(town))).accepted_count
        return bool(accepted) and await _devices_shown(town) == {"bike", "station"}

    await town.until(both_shown)
    return record


async def _silenced(town: "Town", record: str) -> list[str]:
    """Withdraw, and require that the door and the queries heard of it in time; returns why the door refuses."""

    async def refused() -> list[str]:
        return [one.reason for one in (await town.record(_reading(town))).refusals]

    async def hidden() -> bool:
        return await _devices_shown(town) == {"station"}

    await town.withdraw(record)
    async with asyncio.timeout(HEARD_WITHIN_S):
        reasons = await town.until(refused)
        await town.until(hidden)
    return reasons


@pytest.mark.timeout(120)
async def test_a_withdrawn_consent_silences_a_series(town: "Town") -> None:
    """Within 5 s of the withdrawal nothing of the person is taken, shown or watched, and nothing lies in quarantine."""
    record = await _consented(town)
    stored = town.rows("SELECT DISTINCT observed_property, device FROM timeseries.series WHERE device = 'bike'")
    async with town.channel("timeseries") as channel:
        series: Any = SeriesServiceStub(channel)
        watch = series.WatchObservations(WatchObservationsRequest(selection=SeriesSelection(parent=town.parent)))
        watched = [await watch.read()]
        await town.record(_reading(town))
        while not watched[-1].observations.value:
            watched.append(await asyncio.wait_for(watch.read(), WATCH_TIMEOUT_S))

        reasons = await _silenced(town, record)
        sent = await town.record(_reading(town), Reading("station", "pm25", town.now_us(), 9.0))
        after: list[Any] = []
        while not after or 9.0 not in after[-1].observations.value:
            after.append(await asyncio.wait_for(watch.read(), WATCH_TIMEOUT_S))
        watch.cancel()

    assert [name for name, _ in stored] == ["pm25"]
    assert "bike" in watched[-1].observations.dictionary.devices
    assert reasons == ["CONSENT_MISSING"]
    assert (sent.accepted_count, [one.reason for one in sent.refusals]) == (1, ["CONSENT_MISSING"])
    assert "bike" not in after[-1].observations.dictionary.devices
    assert 12.0 not in after[-1].observations.value
    assert [one for one in await _quarantined(town) if one.device != "station"] == []


@pytest.mark.timeout(120)
async def test_without_the_consent_gate_nothing_is_silenced(open_town: "Town") -> None:
    """With the gate taken out of every service the same check fails, at the door and in queries."""
    record = await _consented(open_town)

    with pytest.raises(TimeoutError):
        await _silenced(open_town, record)

    assert await _devices_shown(open_town) == {"bike", "station"}
    assert (await open_town.record(_reading(open_town))).accepted_count == 1
