"""grpc.aio's server (1.85), with one thing put right: a call to a method whose name is no text does not end the server.

Calls to methods that nobody serves come to grpc.aio with their name as bytes, which its loop decodes as UTF-8; one that is
none ends the loop, and with it every listener of the process. Any peer can send it, before it says who it is. So those
calls are answered here, UNIMPLEMENTED, without a look at the name. Every method that is served is registered (the
generated code does so) and does not pass here.
"""

import asyncio
from typing import Any

from grpc._cython import cygrpc  # type: ignore[attr-defined]  # compiled, without types

UNKNOWN_AT_ONCE_MAX = 64
"""Calls to unknown methods that are being answered; more wait, apart from all others."""

_UNNAMED = "unknown"


class _NoMethod:
    """Knows no method."""

    def resolve_handler(self, _details: object) -> None:
        """Return nothing."""


class MendedServer(cygrpc.AioServer):  # type: ignore[misc]  # a compiled class without types
    """The server behind ``grpc.aio.server``."""

    def _make_request_call_future(self, method: bytes | None) -> "asyncio.Future[Any]":
        if method is not None:
            future: asyncio.Future[Any] = super()._make_request_call_future(method)
            return future
        return asyncio.create_task(self._answer_unknown(), name="unknown methods")

    async def _answer_unknown(self) -> None:
        """Answer for ever; ends by being cancelled, or with the error that the server's end gives a waiting call."""
        loop, answering = asyncio.get_running_loop(), set[asyncio.Task[None]]()
        while True:
            try:
                call = await self._request_call()
            except cygrpc._RequestCallError:  # noqa: SLF001 - there is no public name
                if self.is_running():
                    continue
                raise
            answer = cygrpc._handle_rpc(_UNNAMED, _NoMethod(), (), call, loop, False)  # noqa: FBT003, SLF001 - as its own loop does
            task = asyncio.create_task(cygrpc._schedule_rpc_coro(answer, call, loop, _UNNAMED))  # noqa: SLF001 - as its own loop does
            answering.add(task)
            task.add_done_callback(answering.discard)
            if len(answering) >= UNKNOWN_AT_ONCE_MAX:
                await asyncio.wait(answering, return_when=asyncio.FIRST_COMPLETED)


def mend() -> None:
    """Let ``grpc.aio.server`` make this server."""
    cygrpc.AioServer = MendedServer
