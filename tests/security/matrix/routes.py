"""The routes of the HTTP door, behind its own gate; what gets past it is answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from maasloop.core.clock import SystemClock
from maasloop.core.errors import Unauthenticated
from maasloop.ingest.domain.outcome import Recorded
from maasloop.ingest.entrypoints.http import PATH, PUSH_PATH, ObservationsDoor
from maasloop.ingest.entrypoints.http_callers import HttpCallers, Identify
from maasloop.ingest.ports import Batch
from maasloop.rpc.authorization import Authorizer

PERMISSION = "observation.record"
ROUTES = (PATH, PUSH_PATH)
PAYLOAD = b'{"observations": [{"device": "a", "property": "pm25", "value": 1}]}'


async def _record(batch: Batch) -> Recorded:
    return Recorded(len(batch.columns), 0, ())


async def _refuse(*_arguments: object, **_named: object) -> None:
    """Keep nothing."""


async def _exchange(_secret: str) -> str:
    raise Unauthenticated("CREDENTIALS_INVALID", "there is no such key")


@asynccontextmanager
async def http_door(identify: Identify, authorizer: Authorizer) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve the door in this process."""
    refuse: Any = _refuse
    door = ObservationsDoor(
        record=_record,
        refuse=refuse,
        name_of=lambda _: None,
        unit_of=lambda _: None,
        clock=SystemClock(),
        callers=HttpCallers(identify, _exchange, authorizer),
    )
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=door.app), base_url="http://door") as client:
        yield client


async def reached(door: httpx2.AsyncClient, route: str, district: str, token: str) -> bool:
    """Tell whether readings of a request were taken; a push of a sensor that nobody knows never is."""
    headers = {"content-type": "application/json", "x-sensor": "esp8266-1"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    answer = await door.post(f"{route}?district={district}", content=PAYLOAD, headers=headers)
    return answer.status_code == httpx2.codes.OK
