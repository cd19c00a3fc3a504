"""A withdrawn consent silences a series: refused at the door, hidden in queries and watches, and kept nowhere."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from maasloop.api.consent.v1.consent_pb2 import ConsentRecord, ProcessingActivity
from maasloop.api.consent.v1.consent_service_pb2 import (
    CreateProcessingActivityRequest,
    GrantConsentRequest,
    WithdrawConsentRequest,
)
from maasloop.api.consent.v1.consent_service_pb2_grpc import ConsentServiceStub
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


async def _grant(town: "Town") -> str:
    """Let Anna consent to the use of her bike's readings, and return the record."""
    activity = ProcessingActivity(
        display_name="Air on bikes",
        purpose="Know the air where people ride.",
        legal_basis=ProcessingActivity.LEGAL_BASIS_CONSENT,
        data_categories=["pm25"],
        controller="Gemeente",
    )
    activity.retention.FromSeconds(7 * 86_400)
    record = ConsentRecord(
        data_subject="dataSubjects/anna",
        processing_activity="processingActivities/bike-air",
        notice_version="1",
        method="app",
    )
    async with town.channel("consent") as channel:
        consent: Any = ConsentServiceStub(channel)
        await consent.CreateProcessingActivity(
            CreateProcessingActivityRequest(processing_activity_id="bike-air", processing_activity=activity)
        )
        granted = await consent.GrantConsent(GrantConsentRequest(consent_record=record, request_id=town.request_id()))
    return str(granted.name)


async def _withdraw(town: "Town", record: str) -> None:
    async with town.channel("consent") as channel:
        consent: Any = ConsentServiceStub(channel)
        await consent.WithdrawConsent(WithdrawConsentRequest(name=record))


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


@pytest.mark.timeout(120)
async def test_a_withdrawn_consent_silences_a_series(town: "Town") -> None:
    """Within 5 s of the withdrawal nothing of the person is taken, shown or watched, and nothing lies in quarantine."""

    def reading() -> Reading:
        return Reading("bike", "pm25", town.now_us(), 12.0)

    await town.add_devices(DEVICES, Reading("station", "pm25", town.now_us(), 8.0))
    record = await _grant(town)

    async def accepted() -> bool:
        return bool((await town.record(reading())).accepted_count)

    async def both_shown() -> bool:
        return await _devices_shown(town) == {"bike", "station"}

    async def refused() -> list[str]:
        return [one.reason for one in (await town.record(reading())).refusals]

    async def hidden() -> bool:
        return await _devices_shown(town) == {"station"}

    await town.until(accepted)
    await town.until(both_shown)
    stored = town.rows("SELECT DISTINCT observed_property, device FROM timeseries.series WHERE device = 'bike'")
    async with town.channel("timeseries") as channel:
        series: Any = SeriesServiceStub(channel)
        watch = series.WatchObservations(WatchObservationsRequest(selection=SeriesSelection(parent=town.parent)))
        watched = [await watch.read()]
        await town.record(reading())
        while not watched[-1].observations.value:
            watched.append(await asyncio.wait_for(watch.read(), WATCH_TIMEOUT_S))

        await _withdraw(town, record)
        async with asyncio.timeout(HEARD_WITHIN_S):
            reasons = await town.until(refused)
            await town.until(hidden)
        sent = await town.record(reading(), Reading("station", "pm25", town.now_us(), 9.0))
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
