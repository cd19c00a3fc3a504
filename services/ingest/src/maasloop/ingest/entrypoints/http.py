"""The HTTP door: ``POST /v1/observations?district=…`` with JSON or SenML JSON, answered with what became of it.

Errors are problems of RFC 9457 with the reason as ``reason``. 429 and 503 carry Retry-After.
"""

import math
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from maasloop.core.clock import Clock
from maasloop.core.errors import InvalidArgument, MaasloopError, NotFound, ResourceExhausted, Retryable
from maasloop.core.ids import require_id
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.outcome import Door, Recorded
from maasloop.ingest.domain.readings import PAYLOAD_MAX_BYTES
from maasloop.ingest.handlers.refuse_payload import RefusePayload
from maasloop.ingest.ports import Batch

from .payloads import JSON, SENML, Received, UnitOf, decode

PATH = "/v1/observations"
PROBLEM = "application/problem+json"

_OK, _BAD_REQUEST, _NOT_FOUND, _TOO_LARGE, _UNSUPPORTED = 200, 400, 404, 413, 415
_TOO_MANY, _INTERNAL, _UNAVAILABLE = 429, 500, 503

type Record = Callable[[Batch], Awaitable[Recorded]]


class ObservationsDoor:
    """The ASGI application of the door."""

    def __init__(self, *, record: Record, refuse: RefusePayload, unit_of: UnitOf, clock: Clock) -> None:
        """``record`` is the pipeline, ``refuse`` what becomes of a payload that is none."""
        self._record = record
        self._refuse = refuse
        self._unit_of = unit_of
        self._clock = clock
        self.app = Starlette(
            routes=[Route(PATH, self._post, methods=["POST"])],
            exception_handlers={MaasloopError: _problem_of, Exception: _internal},
        )

    async def _post(self, request: Request) -> Response:
        receipt_time_us = self._clock.now_us()
        district = require_id(request.query_params.get("district", ""), "district")
        device = request.query_params.get("device", "")
        if device:
            require_id(device, "device")
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in {JSON, SENML}:
            return _problem(
                _UNSUPPORTED,
                Reason.PAYLOAD_UNDECODABLE,
                f"content-type must be {JSON} or {SENML}",
                {"accept": f"{JSON}, {SENML}"},
            )
        payload = await _body(request)
        received = Received(Door.HTTP, district, device, receipt_time_us, content_type, payload)
        try:
            batch = decode(received, self._unit_of)
        except InvalidArgument as error:
            await self._refuse(
                error,
                door=Door.HTTP,
                district=district,
                device=device,
                receipt_time_us=receipt_time_us,
                content_type=content_type,
                payload=payload,
            )
            raise
        return _answer(await self._record(batch))


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
    headers = {"retry-after": str(math.ceil(error.retry_after_s))} if isinstance(error, Retryable) else {}
    return _problem(_status(error), error.reason, error.message, headers)


async def _internal(_request: Request, _error: Exception) -> Response:
    return _problem(_INTERNAL, Reason.INTERNAL, "internal error", {})


def _status(error: MaasloopError) -> int:
    if error.reason == Reason.PAYLOAD_TOO_LARGE:
        return _TOO_LARGE
    if isinstance(error, NotFound):
        return _NOT_FOUND
    if isinstance(error, ResourceExhausted):
        return _TOO_MANY
    return _UNAVAILABLE if isinstance(error, Retryable) else _BAD_REQUEST


def _problem(status: int, reason: str, detail: str, headers: dict[str, str]) -> Response:
    body = {"type": "about:blank", "title": reason.replace("_", " ").capitalize(), "status": status, "detail": detail}
    return JSONResponse({**body, "reason": str(reason)}, status, {**headers, "content-type": PROBLEM})
