"""What an HTTP listener bears before it knows anything of a caller: size and number of headers, and time.

A connection gets ``HEAD_TIMEOUT_S`` for each head and ``BODY_TIMEOUT_S`` for each body. What is no HTTP is answered at most
once, ends its connection and is counted; it writes no line into a log.
"""

import asyncio
import contextlib
import sys
from typing import Any

import h11
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from maasloop.telemetry import metrics

HEAD_BYTES_MAX = 16 * 1024
HEADERS_MAX = 64
HEAD_TIMEOUT_S = 10.0
BODY_TIMEOUT_S = 30.0
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
"""For answers that no browser is to show, guess at, frame or keep."""
TRANSPORT_SECURITY = (b"strict-transport-security", b"max-age=31536000")
"""Over TLS only (RFC 6797, 7.2)."""

REFUSALS = metrics.counter(
    "maasloop_http_refusals_total", "HTTP connections and requests refused before a handler saw them", ["reason"]
)

_TOO_MANY_HEADERS = 431


class LimitedProtocol(H11Protocol):
    """uvicorn's protocol with an end to waiting, and without a log line a frame."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer, and let go of the request, which knows the connection: nothing is left to the garbage collector."""
        self._end_waiting()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self.cycle = None  # type: ignore[assignment]  # as in uvicorn, where it is none before the first request

    def data_received(self, data: bytes) -> None:
        """Take what came; a head that is whole ends the waiting for it."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._end_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next head; bytes that trickle in do not put off its end."""
        if self.cycle is None:
            # Its client has gone.
            return
        self._end_waiting()
        self._await_head()
        super().on_response_complete()
        if not self.cycle.response_complete:
            # The next request was there already.
            self._end_waiting()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, unless an answer is under way: then only the connection ends."""
        REFUSALS.labels("malformed").inc()
        if (error := sys.exception()) is not None:
            # h11 raises it in a frame that knows it: with its traceback it would keep the connection, TLS buffers and all,
            # until the garbage collector gets to it.
            error.__traceback__ = None
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self.transport.close()
            return
        with contextlib.suppress(h11.LocalProtocolError):
            super().send_400_response(msg)
        self.transport.close()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._late)

    def _end_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _late(self) -> None:
        if not self.transport.is_closing():
            REFUSALS.labels("head_timeout").inc()
            self.transport.abort()


def limited(app: ASGIApp) -> ASGIApp:
    """Return the application behind limits on headers and time, with security headers on every answer."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = SECURITY_HEADERS if scope["scheme"] != "https" else (*SECURITY_HEADERS, TRANSPORT_SECURITY)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message.get("headers", [])}
                missing = [pair for pair in headers if pair[0] not in given]
                message = {**message, "headers": [*message.get("headers", []), *missing]}
            await send(message)

        if len(scope["headers"]) > HEADERS_MAX:
            REFUSALS.labels("headers").inc()
            refusal = PlainTextResponse(f"at most {HEADERS_MAX} headers are read\n", _TOO_MANY_HEADERS)
            await refusal(scope, receive, answer)
            return
        await app(scope, _within(receive, BODY_TIMEOUT_S), answer)

    return serve


def _within(receive: Receive, seconds: float) -> Receive:
    """Return a way to receive a body that ends as a lost connection does when time is up."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    whole = False

    async def received() -> Message:
        nonlocal whole
        if whole:
            # What comes after a body is the client's going away, however long the answer takes.
            return await receive()
        try:
            async with asyncio.timeout_at(end_s):
                message = await receive()
        except TimeoutError:
            REFUSALS.labels("body_timeout").inc()
            return {"type": "http.disconnect"}
        whole = not message.get("more_body", False)
        return message

    return received
