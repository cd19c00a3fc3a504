"""Streams without end: they last as long as their caller, and at drain they end with a reason."""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator

import grpc
import pytest

from maasloop.api.device.v1 import device_service_pb2, device_service_pb2_grpc
from maasloop.api.observation.v1 import ingest_service_pb2, ingest_service_pb2_grpc
from maasloop.core import errors
from maasloop.rpc import client, statuses
from maasloop.rpc.server import RpcServer


async def test_a_drained_bidirectional_stream_answers_what_it_has() -> None:
    """At drain no further request is read, those that were are answered, and the end says DRAINING."""
    answering = asyncio.Event()
    held = asyncio.Event()

    class Streaming(ingest_service_pb2_grpc.IngestServiceServicer):
        async def StreamObservations(  # noqa: N802 - a method as gRPC names it
            self, request_iterator: AsyncIterator[ingest_service_pb2.RecordObservationsRequest], context: object
        ) -> AsyncIterator[ingest_service_pb2.RecordObservationsResponse]:
            async for request in request_iterator:
                answering.set()
                if request.request_id:
                    await held.wait()
                yield ingest_service_pb2.RecordObservationsResponse()

    server = RpcServer("127.0.0.1:0")
    ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(Streaming(), server.registrar)  # type: ignore[abstract]  # one method is enough
    await server.start()
    async with client.connected(server.address) as opened:
        stub = ingest_service_pb2_grpc.IngestServiceStub(opened)
        calls = [stub.StreamObservations() for _ in range(2)]
        for call, request_id in zip(calls, ["", str(uuid.uuid4())], strict=True):
            answering.clear()
            await call.write(ingest_service_pb2.RecordObservationsRequest(request_id=request_id))
            await answering.wait()
        assert await calls[0].read() is not grpc.aio.EOF

        await server.refuse()
        held.set()

        assert await calls[1].read() is not grpc.aio.EOF
        for call in calls:
            with pytest.raises(errors.Unavailable) as caught, statuses.translated():
                await call.read()
            assert caught.value.reason == "DRAINING"
    await server.stop(0)


async def test_a_bidirectional_stream_lasts_as_long_as_its_caller() -> None:
    """Requests are validated and answered one by one, and the stream ends when the caller has no more."""

    class Streaming(ingest_service_pb2_grpc.IngestServiceServicer):
        async def StreamObservations(  # noqa: N802 - a method as gRPC names it
            self, request_iterator: AsyncIterator[ingest_service_pb2.RecordObservationsRequest], context: object
        ) -> AsyncIterator[ingest_service_pb2.RecordObservationsResponse]:
            async for _ in request_iterator:
                yield ingest_service_pb2.RecordObservationsResponse()

    server = RpcServer("127.0.0.1:0")
    ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(Streaming(), server.registrar)  # type: ignore[abstract]  # one method is enough
    await server.start()
    async with client.connected(server.address) as opened:
        stub = ingest_service_pb2_grpc.IngestServiceStub(opened)
        requests = [ingest_service_pb2.RecordObservationsRequest() for _ in range(5)]
        answers = [answer async for answer in stub.StreamObservations(iter(requests))]
    await server.stop(0)

    assert len(answers) == 5


async def test_a_drain_while_answers_flow_still_ends_with_its_reason() -> None:
    """A watch that writes without pause is ended between two answers and not within a write."""

    class Talking(device_service_pb2_grpc.DeviceServiceServicer):
        async def WatchDevices(  # noqa: N802 - a method as gRPC names it
            self, request: device_service_pb2.WatchDevicesRequest, context: object
        ) -> AsyncIterator[device_service_pb2.WatchDevicesResponse]:
            for revision in itertools.count(1):
                yield device_service_pb2.WatchDevicesResponse(revision=revision)

    server = RpcServer("127.0.0.1:0")
    device_service_pb2_grpc.add_DeviceServiceServicer_to_server(Talking(), server.registrar)  # type: ignore[abstract]  # one method is enough
    await server.start()
    async with client.connected(server.address) as opened:
        stub = device_service_pb2_grpc.DeviceServiceStub(opened)
        watching = client.stream(stub.WatchDevices, device_service_pb2.WatchDevicesRequest())
        await anext(watching)
        await server.refuse()

        with pytest.raises(errors.Unavailable) as caught:
            async for _ in watching:
                pass

    assert caught.value.reason == "DRAINING"
    await server.stop(0)
