"""The HTTP door: JSON and SenML JSON, answered when the readings are durable."""

import asyncio
from typing import Any

import httpx2
import structlog

from maasloop.twin.devices.readings import Reading, to_json, to_senml
from maasloop.twin.doors.receipt import Receipt

TRIES_MAX = 20
ANSWER_TIMEOUT_S = 5.0
PATH = "/v1/observations"
JSON = "application/json"
SENML = "application/senml+json"

log = structlog.get_logger(__name__)


class HttpDoor:
    """Posts readings of one district."""

    def __init__(self, client: httpx2.AsyncClient, district: str, units: dict[str, str]) -> None:
        """Use a client whose base address is ingest's; ``units`` are the UCUM units by observed property."""
        self._client = client
        self._district = district
        self._units = units

    async def send_json(self, device: str, readings: list[Reading]) -> Receipt:
        """Post readings as JSON."""
        return await self._post(device, readings, to_json(readings), JSON)

    async def send_senml(self, device: str, readings: list[Reading]) -> Receipt:
        """Post readings of one device as SenML."""
        return await self._post(device, readings, to_senml(readings, self._units), SENML)

    async def _post(self, device: str, readings: list[Reading], body: bytes, content_type: str) -> Receipt:
        parameters = {"district": self._district, "device": device}
        for _ in range(TRIES_MAX):
            try:
                answer = await self._client.post(
                    PATH, params=parameters, content=body, headers={"content-type": content_type}
                )
            except (httpx2.TransportError, OSError) as error:  # what breaks under TLS comes as it is
                log.info("post_sent_again", why=str(error) or type(error).__name__)
                await asyncio.sleep(0.5)
                continue
            if answer.status_code in {429, 503}:
                await asyncio.sleep(float(answer.headers.get("retry-after", "0.5")))
                continue
            return _receipt(readings, answer.json())
        return Receipt([], [(reading, "UNANSWERED") for reading in readings])


def _receipt(readings: list[Reading], answer: dict[str, Any]) -> Receipt:
    refusals = answer.get("refusals", [])
    refused = {int(refusal.get("index", 0)): str(refusal["reason"]) for refusal in refusals}
    if "reason" in answer or -1 in refused:
        reason = str(answer.get("reason") or refused[-1])
        return Receipt([], [(reading, reason) for reading in readings])
    return Receipt(
        [reading for index, reading in enumerate(readings) if index not in refused],
        [(readings[index], reason) for index, reason in refused.items()],
    )
