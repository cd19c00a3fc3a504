"""What every call of a server goes through, in one place.

Around a handler: count it as in flight, join the caller's trace, limit its time, find out who calls, read and validate what
comes in, ask whether the caller may, map what goes wrong, count how it ended, and write one line at level debug. Health and
reflection answer whoever is known and are otherwise left as they are.

Handlers run in the task that gRPC made for the call; a cancelled caller cancels it, and that cancellation is always
passed on. The only other cancellation is ours: at drain, what would never end by itself ends with UNAVAILABLE and reason
DRAINING. A method whose name begins with ``Watch`` ends between two answers; a bidirectional stream gets no further
request, so that its handler answers those it has and returns.
"""

import asyncio
import inspect
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from opentelemetry import trace
from prometheus_client import Counter, Histogram

from maasloop.core.clock import Clock
from maasloop.core.errors import InvalidArgument, MaasloopError, ResourceExhausted, Unavailable
from maasloop.identity.principals import Principal
from maasloop.telemetry import metrics, tracing

from . import statuses
from .auditing import AuditedCall
from .authentication import Gate, calling, known_only, refused
from .validation import validate

UNARY_TIMEOUT_S = 30.0

_FOREIGN = "/grpc."
_WATCH = "Watch"
_END = object()

_calls = metrics.counter("maasloop_rpc_calls_total", "Calls that ended, by canonical code", ["method", "code"])
_seconds = metrics.histogram("maasloop_rpc_call_seconds", "Time of a call in the server", ["method"])
_in_flight = metrics.gauge("maasloop_rpc_calls_in_flight", "Calls that run")

_log = structlog.get_logger()

type _Context = grpc.aio.ServicerContext[Any, Any]
type _Raw = bytes | AsyncIterator[bytes]
type _Read = Callable[[bytes], Message]
"""Makes a valid message of bytes, or refuses them."""
type _Handler = grpc.RpcMethodHandler[Any, Any]


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps each handler once, and knows which calls run."""

    def __init__(self, clock: Clock, *, calls_max: int, gate: Gate | None = None) -> None:
        """Begin with no call in flight; more than ``calls_max`` at once are refused before their message is read.

        Without a ``gate`` nobody is asked who they are.
        """
        self.draining = False
        self._clock = clock
        self._gate = gate
        self._calls_max = calls_max
        self._begun = 0
        self._wrapped: dict[str, tuple[_Handler, _Handler]] = {}
        self._running = 0
        self._waits: set[_Wait] = set()

    @property
    def running(self) -> int:
        """Number of calls in flight."""
        return self._running

    def end_streams(self) -> None:
        """End every watch and every bidirectional stream with reason DRAINING, those to come as well."""
        self.draining = True
        for wait in tuple(self._waits):
            wait.end()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Return the handler of a method within its call scope; none means UNIMPLEMENTED."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return None
        if method.startswith(_FOREIGN):
            return handler if self._gate is None else known_only(self._gate, method, handler)
        if self._begun >= self._calls_max:
            return self._refusing(method)
        self._begun += 1
        # This runs in the task of the call, which ends whatever becomes of its message.
        _current_task().add_done_callback(self._over)
        known = self._wrapped.get(method)
        if known is None or known[0] is not handler:
            known = self._wrapped[method] = (handler, self._wrap(method, handler))
        return known[1]

    def _over(self, _task: asyncio.Task[Any]) -> None:
        self._begun -= 1

    def _refusing(self, method: str) -> _Handler:
        """Return a handler that refuses a call of any kind, and reads nothing of it."""
        error = ResourceExhausted("OVERLOADED", f"more than {self._calls_max} calls at once", retry_after_s=1.0)

        async def refuse(_requests: AsyncIterator[bytes], context: _Context) -> bytes:
            refused.labels(method, error.reason).inc()
            _account(method, statuses.code_of(error).name, error.reason, 0.0)
            await context.abort_with_status(statuses.to_status(error))
            return b""

        return grpc.stream_unary_rpc_method_handler(refuse)

    def _wrap(self, method: str, handler: _Handler) -> _Handler:
        # Bytes that are no message are refused as everything else is: gRPC itself would answer UNKNOWN, and count nothing.
        codecs = (None, handler.response_serializer)
        read = _reading(handler.request_deserializer)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._answering(method, handler.unary_unary, read, limit_s=UNARY_TIMEOUT_S), *codecs
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(method, handler.unary_stream, read, endless=False), *codecs
            )
        if handler.stream_unary is not None:
            return grpc.stream_unary_rpc_method_handler(
                self._answering(method, handler.stream_unary, read, limit_s=None), *codecs
            )
        if handler.stream_stream is None:
            message = f"{method} has a handler of no kind"
            raise TypeError(message)
        return grpc.stream_stream_rpc_method_handler(
            self._streaming(method, handler.stream_stream, read, endless=True), *codecs
        )

    def _answering(
        self, method: str, behaviour: Callable[..., Any], read: _Read, *, limit_s: float | None
    ) -> Callable[..., Any]:
        async def answer(request: _Raw, context: _Context) -> object:
            async with (
                self._scope(method, context, limit_s),
                self._admitted(method, context, request, read) as checked,
            ):
                return await behaviour(checked, context)

        return answer

    def _streaming(
        self, method: str, behaviour: Callable[..., Any], read: _Read, *, endless: bool
    ) -> Callable[..., Any]:
        if not inspect.isasyncgenfunction(behaviour):
            # Such a handler writes to the context itself.
            return self._answering(method, behaviour, read, limit_s=None)
        watch = method.rpartition("/")[2].startswith(_WATCH)

        async def stream(request: _Raw, context: _Context) -> None:
            asked = request if isinstance(request, bytes) else self._until_drain(request)
            async with (
                self._scope(method, context, None),
                self._admitted(method, context, asked, read) as checked,
            ):
                async with aclosing(behaviour(checked, context)) as answers:
                    async for answer in self._until_drain(answers) if watch else answers:
                        await context.write(answer)
                if self.draining and (watch or endless):
                    raise Unavailable("DRAINING", "the service is shutting down")

        return stream

    @asynccontextmanager
    async def _admitted(
        self, method: str, context: _Context, request: _Raw, read: _Read
    ) -> AsyncIterator[Message | AsyncIterator[Message]]:
        """Give what a known caller may ask for; each message of a stream is judged when it comes."""
        if self._gate is None:
            yield _validated(request, read)
            return
        principal = await self._gate.identify(context, method)
        async with self._gate.session(principal), self._gate.audited(principal, method) as audited:
            with calling(principal):
                if isinstance(request, bytes):
                    message = read(request)
                    await self._gate.authorize(principal, method, message)
                    if audited is not None:
                        await audited.begin(message)
                    yield message
                else:
                    yield self._each_admitted(self._gate, principal, method, _each_validated(request, read), audited)

    @staticmethod
    async def _each_admitted(
        gate: Gate,
        principal: Principal | None,
        method: str,
        requests: AsyncIterator[Message],
        audited: AuditedCall | None,
    ) -> AsyncIterator[Message]:
        continued = False
        async for message in requests:
            await gate.authorize(principal, method, message, continued=continued)
            if audited is not None and not continued:
                await audited.begin(message)
            continued = True
            yield message

    async def _until_drain(self, source: AsyncIterator[Any]) -> AsyncIterator[Any]:
        wait = _Wait()
        self._waits.add(wait)
        source = aiter(source)
        try:
            while not self.draining:
                wait.task = task = _current_task()
                try:
                    item = await anext(source, _END)
                except asyncio.CancelledError:
                    if not wait.cut:
                        raise
                    task.uncancel()
                    return
                finally:
                    wait.task = None
                if item is _END:
                    return
                yield item
        finally:
            self._waits.discard(wait)

    @asynccontextmanager
    async def _scope(self, method: str, context: _Context, default_limit_s: float | None) -> AsyncIterator[None]:
        started_s = self._clock.monotonic_s()
        limit = asyncio.timeout(default_limit_s if context.time_remaining() is None else None)
        failure: _Failure | None = None
        code = grpc.StatusCode.OK.name
        self._count(1)
        try:
            with tracing.span(method, parent=_traceparent(context)):
                try:
                    async with limit:
                        yield
                except grpc.aio.AbortError:
                    code = str(context.code())
                    raise
                except asyncio.CancelledError:
                    code = grpc.StatusCode.CANCELLED.name
                    raise
                except Exception as error:
                    failure = _failure(error, method, timed_out=limit.expired())
            if failure is not None:
                code = failure.code.name
                refused.labels(method, failure.reason).inc()
                await context.abort_with_status(failure.status)
        finally:
            self._count(-1)
            _account(method, code, failure.reason if failure else "", self._clock.monotonic_s() - started_s)

    def _count(self, change: int) -> None:
        self._running += change
        _in_flight.set(self._running)


@dataclass(slots=True, eq=False)
class _Wait:
    """A task that waits for the next item of a stream, and may be told that none will come."""

    task: asyncio.Task[Any] | None = None
    cut: bool = False

    def end(self) -> None:
        # Only a wait is cut, never a write: after a cancelled write gRPC cannot send the status that tells the reason.
        if self.task is not None:
            self.cut = True
            self.task.cancel()


@dataclass(frozen=True, slots=True)
class _Failure:
    code: grpc.StatusCode
    reason: str
    status: grpc.Status


def _refuse(code: grpc.StatusCode, reason: str, message: str, **metadata: str) -> _Failure:
    return _Failure(code, reason, statuses.status(code, reason, message, metadata))


def _failure(error: Exception, method: str, *, timed_out: bool) -> _Failure:
    if isinstance(error, MaasloopError):
        return _Failure(statuses.code_of(error), error.reason, statuses.to_status(error))
    if isinstance(error, TimeoutError) and timed_out:
        message = f"a call without a deadline gets {UNARY_TIMEOUT_S:g} s"
        return _refuse(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", message)
    context = trace.get_current_span().get_span_context()
    # Without a trace the caller still gets something to look the fault up by.
    trace_id = trace.format_trace_id(context.trace_id) if context.is_valid else secrets.token_hex(16)
    _log.error("rpc_failed", method=method, trace_id=trace_id, exc_info=error)
    return _refuse(grpc.StatusCode.INTERNAL, "INTERNAL", "internal error", trace_id=trace_id)


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        message = "calls are answered in tasks only"
        raise RuntimeError(message)
    return task


def _account(method: str, code: str, reason: str, duration_s: float) -> None:
    calls, seconds = _counted(method, code)
    calls.inc()
    seconds.observe(duration_s)
    _log.debug("rpc_ended", method=method, code=code, reason=reason, duration_ms=round(duration_s * 1_000, 3))


@lru_cache(maxsize=1_024)
def _counted(method: str, code: str) -> tuple[Counter, Histogram]:
    return _calls.labels(method, code), _seconds.labels(method)


def _traceparent(context: _Context) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == tracing.TRACEPARENT:
            return value if isinstance(value, str) else value.decode("ascii", "replace")
    return None


def _reading(deserialize: Callable[[bytes], Any] | None) -> _Read:
    if deserialize is None:
        message = "a method without a deserializer cannot be checked"
        raise TypeError(message)

    def read(serialized: bytes) -> Message:
        try:
            request: Message = deserialize(serialized)
        except DecodeError:
            raise InvalidArgument("PAYLOAD_UNDECODABLE", "the bytes are not a message of this method") from None
        validate(request)
        return request

    return read


def _validated(request: _Raw, read: _Read) -> Message | AsyncIterator[Message]:
    return read(request) if isinstance(request, bytes) else _each_validated(request, read)


async def _each_validated(requests: AsyncIterator[bytes], read: _Read) -> AsyncIterator[Message]:
    async for request in requests:
        yield read(request)
