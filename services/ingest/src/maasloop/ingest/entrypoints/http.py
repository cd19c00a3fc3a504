"""The HTTP door: ``POST /v1/observations?district=…`` with JSON, SenML or CSV, answered with what became of it.

``POST /v1/sensor-community`` takes what the firmware of Sensor.Community pushes; ``X-Sensor`` says which sensor it is.

Errors are problems of RFC 9457 with the reason as ``reason``. 429 and 503 carry Retry-After.
"""

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from maasloop.core.clock import Clock
from maasloop.core.errors import (
    InvalidArgument,
    MaasloopError,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Retryable,
    Unauthenticated,
)
from maasloop.core.ids import require_id
from maasloop.core.reasons import Reason
from maasloop.identity.principals import Principal
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.ingest.domain.readings import PAYLOAD_MAX_BYTES
from maasloop.ingest.handlers.refuse_payload import RefusePayload
from maasloop.ingest.ports import Batch
from maasloop.telemetry import tracing

from .answers import count_refused
from .batches import NameOf
from .events import Unreadable, decode_event, push_type
from .http_callers import HttpCallers
from .payloads import CSV, JSON, SENML, SENML_CBOR, Received, UnitOf, decode

PATH = "/v1/observations"
PUSH_PATH = "/v1/sensor-community"
IDENTITY = "identity"
"""No body is unpacked: what is small on the wire and large in memory does not come in."""
HEARD = (JSON, SENML, SENML_CBOR, CSV)
REQUESTS_MAX = 256
"""Requests under way, each with a body of at most ``PAYLOAD_MAX_BYTES`` in memory."""
SENSOR_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")
PROBLEM = "application/problem+json"

_OK, _BAD_REQUEST, _TOO_LARGE, _UNSUPPORTED = 200, 400, 413, 415
_INTERNAL, _UNAVAILABLE = 500, 503
_STATUSES = {Unauthenticated: 401, PermissionDenied: 403, NotFound: 404, ResourceExhausted: 429}

type Record = Callable[[Batch], Awaitable[Recorded]]


class ObservationsDoor:
    """The ASGI application of the door."""

    def __init__(
        self,
        *,
        record: Record,
        refuse: RefusePayload,
        name_of: NameOf,
        unit_of: UnitOf,
        clock: Clock,
        callers: HttpCallers | None = None,
    ) -> None:
        """``record`` is the pipeline, ``refuse`` what becomes of a payload that is none.

        Without ``callers`` nobody is asked who they are.
        """
        self._callers = callers
        self._record = record
        self._refuse = refuse
        self._name_of = name_of
        self._unit_of = unit_of
        self._clock = clock
        self._running = 0
        self._routes = Starlette(
            routes=[
                Route(PATH, self._post, methods=["POST"]),
                Route(PUSH_PATH, self._push, methods=["POST"]),
            ],
            exception_handlers={MaasloopError: _problem_of, HTTPException: _elsewhere, Exception: _internal},
        )

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it where too many are under way: what lies in memory is bounded."""
        if scope["type"] == "http" and self._running >= REQUESTS_MAX:
            await _overloaded(f"more than {REQUESTS_MAX} requests at once")(scope, receive, send)
            return
        self._running += 1
        try:
            await self._routes(scope, receive, send)
        finally:
            self._running -= 1

    async def refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request while too many connections are open, and end its connection: that makes room."""
        message = "too many connections at once"
        await _overloaded(message, {"connection": "close"})(scope, receive, send)

    async def _post(self, request: Request) -> Response:
        receipt_time_us = self._clock.now_us()
        caller = await self._identified(request)
        district = require_id(request.query_params.get("district", ""), "district")
        device = request.query_params.get("device", "")
        if device:
            require_id(device, "device")
        await self._authorize(caller, district)
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in HEARD:
            heard = ", ".join(HEARD)
            message = f"content-type must be one of {heard}"
            return _problem(_UNSUPPORTED, Reason.PAYLOAD_UNDECODABLE, message, {"accept": heard})
        if request.headers.get("content-encoding", IDENTITY) != IDENTITY:
            message = "a body is sent as it is, without a content-encoding"
            return _problem(_UNSUPPORTED, Reason.PAYLOAD_UNDECODABLE, message, {"accept-encoding": IDENTITY})
        payload = await _body(request)
        received = Received(Door.HTTP, district, device, receipt_time_us, content_type, payload)
        try:
            batch = decode(received, self._unit_of)
        except InvalidArgument as error:
            await self._refuse_whole(error, received)
            raise
        return await self._recorded(request, batch)

    async def _push(self, request: Request) -> Response:
        receipt_time_us = self._clock.now_us()
        caller = await self._identified(request)
        sensor = request.headers.get("x-sensor", "").strip()
        if SENSOR_PATTERN.fullmatch(sensor) is None:
            message = "the header X-Sensor names the sensor, for example esp8266-12345678"
            raise InvalidArgument(Reason.DEVICE_UNKNOWN, message)
        payload = await _body(request)
        received = Received(Door.SENSOR_COMMUNITY, "", "", receipt_time_us, push_type(sensor), payload)
        try:
            batch = decode_event(received, self._name_of, self._unit_of)
            await self._authorize(caller, batch.district)
        except Unreadable as error:
            known = replace(received, district=error.named.district, sender=error.named.device)
            await self._refuse_whole(error, known)
            raise
        except InvalidArgument as error:
            await self._refuse_whole(error, received)
            raise
        return await self._recorded(request, batch)

    async def _recorded(self, request: Request, batch: Batch) -> Response:
        with tracing.span("record_http", parent=request.headers.get(tracing.TRACEPARENT)):
            return _answer(await self._record(batch))

    async def _identified(self, request: Request) -> Principal | None:
        return await self._callers.identify(request.headers.get("authorization", "")) if self._callers else None

    async def _authorize(self, caller: Principal | None, district: str) -> None:
        if self._callers is not None and caller is not None:
            await self._callers.authorize(caller, district)

    async def _refuse_whole(self, error: InvalidArgument, received: Received) -> None:
        await self._refuse(
            error,
            door=received.door,
            district=received.district,
            device=received.sender,
            receipt_time_us=received.receipt_time_us,
            content_type=received.content_type,
            payload=received.payload,
        )


async def _body(request: Request) -> bytes:
    """Read a body, and stop beyond the limit whatever length it claims."""
    received = bytearray()
    try:
        async for chunk in request.stream():
            received += chunk
            if len(received) > PAYLOAD_MAX_BYTES:
                # The decoder refuses it; what came so far is kept.
                break
    except ClientDisconnect:
        message = "the client went away before its request was complete"
        raise InvalidArgument(Reason.PAYLOAD_UNDECODABLE, message) from None
    return bytes(received)


def _answer(recorded: Recorded) -> Response:
    refusals = [{"index": each.index, "reason": each.reason, "detail": each.detail} for each in recorded.refusals]
    body = {
        "accepted_count": recorded.accepted_count,
        "refused_count": recorded.refused_count,
        "refusals": refusals,
    }
    return JSONResponse(body, _OK)


async def _problem_of(_request: Request, error: Exception) -> Response:
    assert isinstance(error, MaasloopError)  # noqa: S101 - registered for this class
    count_refused(Door.HTTP, error.reason)
    headers = {"retry-after": str(math.ceil(error.retry_after_s))} if isinstance(error, Retryable) else {}
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    return _problem(_status(error), error.reason, error.message, headers)


async def _elsewhere(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    count_refused(Door.HTTP, Reason.RESOURCE_NOT_FOUND)
    message = f"readings are sent by POST to {PATH} or {PUSH_PATH}"
    return _problem(error.status_code, Reason.RESOURCE_NOT_FOUND, message, dict(error.headers or {}))


def _overloaded(message: str, headers: Mapping[str, str] | None = None) -> Response:
    count_refused(Door.HTTP, Reason.OVERLOADED)
    return _problem(_UNAVAILABLE, Reason.OVERLOADED, message, {"retry-after": "1", **(headers or {})})


async def _internal(_request: Request, _error: Exception) -> Response:
    return _problem(_INTERNAL, Reason.INTERNAL, "internal error", {})


def _status(error: MaasloopError) -> int:
    if error.reason == Reason.PAYLOAD_TOO_LARGE:
        return _TOO_LARGE
    for kind, status in _STATUSES.items():
        if isinstance(error, kind):
            return status
    return _UNAVAILABLE if isinstance(error, Retryable) else _BAD_REQUEST


def _problem(status: int, reason: str, detail: str, headers: dict[str, str]) -> Response:
    body = {"type": "about:blank", "title": reason.replace("_", " ").capitalize(), "status": status, "detail": detail}
    return JSONResponse({**body, "reason": str(reason)}, status, {**headers, "content-type": PROBLEM})
