"""The HTTP door asks who sends, and whether they may record readings of the district, before it reads a body."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import ensure
from maasloop.core.clock import SystemClock
from maasloop.core.errors import MaasloopError, Unauthenticated
from maasloop.identity.principals import Grant, Principal
from maasloop.identity.roles import Roles
from maasloop.identity.token_keys import FileKeys, TokenSigner, make_signing_key
from maasloop.identity.tokens import OWN_ALGORITHM, OWN_ISSUER, Issuers, Programs, Verifier
from maasloop.ingest.adapters.bus import BusPublisher
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.ingest.entrypoints.http import ObservationsDoor
from maasloop.ingest.entrypoints.http_callers import HttpCallers
from maasloop.ingest.handlers.refuse_payload import RefusePayload
from maasloop.ingest.ports import Batch
from maasloop.rpc.authorization import RoleAuthorizer
from maasloop.telemetry import metrics

pytestmark = pytest.mark.integration

CLOCK = SystemClock()
KEY = "mlk_known"
PAYLOAD = b'{"observations": [{"device": "a", "property": "pm25", "value": 1}]}'


class _Uncounted:
    def recorded(self, _door: Door, _recorded: Recorded) -> None:
        """Count nothing."""


class Reach(NamedTuple):
    """A client of the door, and a token for one district."""

    client: httpx2.AsyncClient
    token: str
    recorded: list[str]
    refused: list[tuple[str, str]]
    """Who was refused, and why."""


@pytest.fixture(name="bus")
async def _bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test") as bus:
        await ensure(bus)
        yield bus


@pytest.fixture(name="reach")
async def _reach(bus: Bus, tmp_path: Path) -> AsyncIterator[Reach]:
    private, public, recorded = tmp_path / "private.json", tmp_path / "public.json", []
    make_signing_key(private, public)
    token, _ = TokenSigner(private, CLOCK).token("app", "k-1", (Grant("integrator", frozenset({"noord"})),))
    tokens = Issuers(Programs(Verifier(OWN_ISSUER, FileKeys(public), CLOCK, algorithms=[OWN_ALGORITHM])))

    async def exchange(secret: str) -> str:
        if secret != KEY:
            raise Unauthenticated("CREDENTIALS_INVALID", "there is no such key")
        return token

    refused: list[tuple[str, str]] = []

    def told(principal: Principal | None, _method: str, error: MaasloopError) -> None:
        refused.append((str(principal), error.reason))

    async def record(batch: Batch) -> Recorded:
        recorded.append(batch.district)
        return Recorded(len(batch.columns), 0, ())

    refuse = RefusePayload(personal=lambda *_: False, publisher=BusPublisher(bus, CLOCK), counts=_Uncounted())
    door = ObservationsDoor(
        record=record,
        refuse=refuse,
        name_of=lambda _: None,
        unit_of=lambda _: None,
        clock=CLOCK,
        callers=HttpCallers(tokens.principal, exchange, RoleAuthorizer(Roles.load()), told),
    )
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=door.app), base_url="http://door") as client:
        yield Reach(client, token, recorded, refused)


async def _post(reach: Reach, authorization: str | None, district: str = "noord") -> tuple[int, str]:
    headers = {"content-type": "application/json"}
    if authorization is not None:
        headers["authorization"] = authorization
    answer = await reach.client.post(f"/v1/observations?district={district}", content=PAYLOAD, headers=headers)
    if answer.status_code == httpx2.codes.UNAUTHORIZED:
        assert answer.headers["www-authenticate"] == "Bearer"
    return answer.status_code, str(answer.json().get("reason", ""))


async def test_a_token_opens_the_door_for_its_district(reach: Reach) -> None:
    """A program records readings of its district, and of no other."""
    assert await _post(reach, f"Bearer {reach.token}") == (200, "")
    assert await _post(reach, f"Bearer {reach.token}", "zuid") == (403, "PERMISSION_MISSING")
    assert reach.recorded == ["noord"]
    assert reach.refused == [("program/app", "PERMISSION_MISSING")]


async def test_nobody_is_let_in(reach: Reach) -> None:
    """No header, another scheme, a foreign token: 401 with a reason, and nothing is recorded."""
    assert await _post(reach, None) == (401, "CREDENTIALS_MISSING")
    assert reach.refused == [("None", "CREDENTIALS_MISSING")]
    for said in ("Bearer", "Bearer x", f"Bearer {reach.token[:-4]}AAAA", "Digest x", "Basic x", "Basic eA=="):
        assert await _post(reach, said) == (401, "CREDENTIALS_INVALID")
    answer = await reach.client.post("/v1/sensor-community", content=b"{}", headers={"x-sensor": "esp8266-1"})
    assert answer.status_code == httpx2.codes.UNAUTHORIZED
    assert reach.recorded == []


async def test_firmware_sends_its_key_as_a_password(reach: Reach) -> None:
    """A key by Basic authentication is exchanged; a wrong one is refused."""
    for password, status in ((KEY, 200), ("mlk_other", 401)):
        said = base64.b64encode(f"any:{password}".encode()).decode()
        assert (await _post(reach, f"Basic {said}"))[0] == status


async def test_a_wrong_path_or_method_is_told_where_readings_go(reach: Reach) -> None:
    """These are problems with a reason too, counted as all that is refused."""
    before = metrics.value("maasloop_ingest_refused_requests_total", door="http", reason="RESOURCE_NOT_FOUND")
    elsewhere = await reach.client.post("/observations", content=PAYLOAD)
    reading = await reach.client.get("/v1/observations")

    assert (elsewhere.status_code, reading.status_code, reading.headers["allow"]) == (404, 405, "POST")
    for answer in (elsewhere, reading):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["reason"] == "RESOURCE_NOT_FOUND"
        assert "/v1/observations" in answer.json()["detail"]
    after = metrics.value("maasloop_ingest_refused_requests_total", door="http", reason="RESOURCE_NOT_FOUND")
    assert after == before + 2
