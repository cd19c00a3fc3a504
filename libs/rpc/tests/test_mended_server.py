"""What grpc.aio does wrong and is put right; see ``mended_server``."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from maasloop.rpc.server import RpcServer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """Return a header of HPACK (RFC 7541, 6.2.2), not indexed and not compressed."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def _call_to(path: bytes) -> bytes:
    headers = b"".join(
        _literal(name, value)
        for name, value in (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path),
            (b":authority", b"door"),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
        )
    )
    return PREFACE + SETTINGS + _frame(1, 4, 1, headers) + _frame(0, 1, 1, bytes(5))


async def test_a_method_whose_name_is_no_text_is_unknown_and_the_server_goes_on() -> None:
    """Neither the call nor a hundred of them end a server; known methods are answered as before."""
    server = RpcServer("127.0.0.1:0")
    await server.start()
    try:
        for number in range(100):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(_call_to(b"/maasloop.\x80\xff/%d" % number))
            assert await reader.read(9)
            writer.close()
        async with grpc.aio.insecure_channel(server.address) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=10)
    finally:
        await server.stop(0.1)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_an_unknown_method_is_unimplemented() -> None:
    """Who asks for what nobody serves is told so, however often."""
    server = RpcServer("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            unknown: Any = channel.unary_unary("/maasloop.Nothing/Nowhere")
            for _ in range(200):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await unknown(b"", timeout=10)
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    finally:
        await server.stop(0.1)
