"""The HTTP listener."""

import asyncio
import socket

from starlette.types import Receive, Scope, Send

from maasloop.runtime.http import HttpDoor


async def _answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def test_connections_send_small_answers_at_once() -> None:
    """Sockets of accepted connections have Nagle's algorithm off, so that no answer waits for an acknowledgement."""
    door = HttpDoor(_answer, "127.0.0.1:0")
    await door.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: door\r\n\r\n")
        assert await reader.read(1)
        (connection,) = door._server.server_state.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
    finally:
        await door.stop(0.1)
