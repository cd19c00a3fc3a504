"""A flood of calls: each is answered with a reason and counted, none is cancelled by gRPC in silence."""

import asyncio
from collections import Counter

import grpc
import structlog
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from maasloop.api.device.v1 import device_pb2, device_service_pb2, device_service_pb2_grpc
from maasloop.rpc.server import CALLS_WAITING_MAX, RpcServer
from maasloop.telemetry import metrics

GET = "/maasloop.api.device.v1.DeviceService/GetDevice"
CALLS = 2_500
CONNECTIONS = 4


class Door(device_service_pb2_grpc.DeviceServiceServicer):
    """A door that takes its time."""

    async def GetDevice(  # noqa: N802 - a method as gRPC names it
        self, request: device_service_pb2.GetDeviceRequest, context: object
    ) -> device_pb2.Device:
        """Answer after a tenth of a second."""
        await asyncio.sleep(0.1)
        return device_pb2.Device()


async def _outcome(channel: grpc.aio.Channel) -> str:
    """Return the reason of a refusal, the code of one without, or nothing."""
    try:
        await device_service_pb2_grpc.DeviceServiceStub(channel).GetDevice(
            device_service_pb2.GetDeviceRequest(name="x")
        )
    except grpc.aio.AioRpcError as error:
        raw = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
        info = ErrorInfo()
        details = Status.FromString(raw if isinstance(raw, bytes) else raw.encode()).details
        return info.reason if details and details[0].Unpack(info) else error.code().name
    return ""


async def test_every_call_of_a_flood_is_answered_with_a_reason_and_counted() -> None:
    """Calls that came at once, more than gRPC would have kept by itself: some are served, all others hear OVERLOADED."""
    assert CALLS < CALLS_WAITING_MAX
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(min_level="info"))
    before = metrics.value("maasloop_rpc_refusals_total", method=GET, reason="OVERLOADED")
    server = RpcServer("127.0.0.1:0", concurrent_calls_max=8)
    door = Door()  # type: ignore[abstract]  # the other methods stay unimplemented
    device_service_pb2_grpc.add_DeviceServiceServicer_to_server(door, server.registrar)
    await server.start()
    own = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(server.address, options=own) for _ in range(CONNECTIONS)]

    outcomes = Counter(await asyncio.gather(*(_outcome(channels[at % CONNECTIONS]) for at in range(CALLS))))

    for channel in channels:
        await channel.close()
    await server.stop(0)
    assert set(outcomes) == {"", "OVERLOADED"}
    counted = metrics.value("maasloop_rpc_refusals_total", method=GET, reason="OVERLOADED") - before
    assert counted == outcomes["OVERLOADED"]
