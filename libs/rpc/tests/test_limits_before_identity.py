"""Before a gRPC server knows anything of a caller, what the caller can cost is bounded."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from maasloop.rpc import server as served
from maasloop.rpc.server import METADATA_BYTES_MAX, RpcServer

HANDSHAKE = "grpc.server_handshake_timeout_ms"


async def test_metadata_beyond_the_limit_is_refused() -> None:
    """A call with more metadata than is read ends with RESOURCE_EXHAUSTED; the next one is answered."""
    server = RpcServer("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            large = [("x-large", "y" * 2 * METADATA_BYTES_MAX)]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await health.Check(health_pb2.HealthCheckRequest(), metadata=large, timeout=30)
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=30)
    finally:
        await server.stop(0.1)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("sent", [b"", b"PRI * HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
async def test_who_does_not_begin_is_not_waited_for(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that never gets to its first settings is ended."""
    options = dict(served._OPTIONS)
    assert options[HANDSHAKE] == served.HANDSHAKE_TIMEOUT_MS
    monkeypatch.setattr(served, "_OPTIONS", tuple((options | {HANDSHAKE: 500}).items()))
    server = RpcServer("127.0.0.1:0")
    await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        # Whatever the server says first, it ends, and before it would without the limit (gRPC: 120 s).
        async with asyncio.timeout(60):
            while await reader.read(65_536):
                pass
        writer.close()
    finally:
        await server.stop(0.1)
