"""A gRPC server that can be looked at, limited and stopped in order.

Everything a server of ours has by default is here: reflection, health, the call interceptor, keepalive that suits our
clients, limits, and a stop that first refuses, then waits, then cancels.
"""

from collections.abc import Callable, Sequence

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from maasloop.core.clock import Clock, SystemClock

from .authentication import Gate, Security
from .interceptor import CallInterceptor
from .mended_server import mend
from .tls import server_credentials

MESSAGE_BYTES_MAX = 8 * 1024 * 1024
CONCURRENT_CALLS_MAX = 1_024
CALLS_BEGUN_FACTOR = 4
"""Calls begun, those that are being refused among them, up to which gRPC hands us more."""
CALLS_WAITING_MAX = 4_096
"""Calls that wait to be begun or refused, about 16 KiB each without their messages. gRPC cancels those beyond, which we never
see: they have no reason and are in no count of ours. By default it begins to cancel some from 1,000 on."""
KEEPALIVE_INTERVAL_ACCEPTED_MS = 20_000
CONNECTION_AGE_MAX_MS = 300_000
CONNECTION_IDLE_MAX_MS = 120_000
"""A connection without a call ends after this; clients make another when they need one."""
HANDSHAKE_TIMEOUT_MS = 10_000
"""Until TLS and the beginnings of HTTP/2 are there; by default gRPC waits two minutes."""
METADATA_BYTES_MAX = 16 * 1024
"""Of one call; larger ones are refused by gRPC before we see them."""
CALLS_OF_A_CONNECTION_MAX = 1_024

_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_INTERVAL_ACCEPTED_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_connection_age_ms", CONNECTION_AGE_MAX_MS),
    ("grpc.max_connection_idle_ms", CONNECTION_IDLE_MAX_MS),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.max_concurrent_streams", CALLS_OF_A_CONNECTION_MAX),
    ("grpc.server.max_pending_requests", CALLS_WAITING_MAX),
    ("grpc.server.max_pending_requests_hard_limit", CALLS_WAITING_MAX),
    # Two processes on one port would share its calls silently.
    ("grpc.so_reuseport", 0),
)

_log = structlog.get_logger()

mend()


class RpcServer:
    """A server to which a door adds its servicers: ``add_XServicer_to_server(door, server.registrar)``."""

    def __init__(
        self,
        address: str,
        services: Sequence[str] = (),
        *,
        security: Security | None = None,
        concurrent_calls_max: int = CONCURRENT_CALLS_MAX,
        clock: Clock | None = None,
    ) -> None:
        """Prepare a server for ``host:port``; port 0 takes a free one at ``start``.

        ``services`` are the full names shown by reflection and health. Without ``security`` anybody is let in, in clear
        text; with it ``address`` takes callers with a certificate of our authority only. Calls beyond ``concurrent_calls_max`` are refused
        with a reason before their message is read.
        """
        self.port = 0
        self.public_port = 0
        self._address = address
        self._security = security
        self._interceptor = CallInterceptor(
            clock or SystemClock(), calls_max=concurrent_calls_max, gate=Gate(security) if security else None
        )
        self._health = health.aio.HealthServicer()
        self._services = ["", *services]
        self.registrar = grpc.aio.server(
            interceptors=[self._interceptor],
            options=_OPTIONS,
            maximum_concurrent_rpcs=concurrent_calls_max * CALLS_BEGUN_FACTOR,
        )

    @property
    def address(self) -> str:
        """The address it listens on, with the real port after ``start``."""
        return f"{self._address.rpartition(':')[0]}:{self.port}"

    @property
    def public_address(self) -> str:
        """The address of the listener for callers without a certificate; empty if there is none."""
        wanted = self._security.public_address if self._security else ""
        return f"{wanted.rpartition(':')[0]}:{self.public_port}" if wanted else ""

    @property
    def calls_in_flight(self) -> int:
        """Number of calls that run, health and reflection apart."""
        return self._interceptor.running

    async def start(self) -> None:
        """Listen and say SERVING."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.registrar)
        shown = [*self._services[1:], health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(shown, self.registrar)
        self._bind()
        await self.registrar.start()
        await self._announce(health_pb2.HealthCheckResponse.SERVING)
        _log.info("rpc_listening", address=self.address, public_address=self.public_address)

    async def refuse(self) -> None:
        """Say NOT_SERVING and end the streams without end; other calls are still answered. The first step of a shutdown."""
        await self._announce(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._interceptor.end_streams()

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, let those that run end within ``grace_s``, and cancel the rest."""
        await self.refuse()
        await self.registrar.stop(grace_s)
        if self.calls_in_flight:
            _log.warning("rpc_calls_cancelled", count=self.calls_in_flight, grace_s=grace_s)

    async def _announce(self, status: int) -> None:
        for service in self._services:
            await self._health.set(service, status)

    def _bind(self) -> None:
        security = self._security
        if security is None:
            self.port = _bound(self._address, self.registrar.add_insecure_port)
            return
        certified = server_credentials(security.tls, callers_certified=True)
        self.port = _bound(self._address, lambda address: self.registrar.add_secure_port(address, certified))
        if security.public_address:
            shown = server_credentials(security.tls, callers_certified=False)
            self.public_port = _bound(
                security.public_address, lambda address: self.registrar.add_secure_port(address, shown)
            )


def _bound(address: str, bind: Callable[[str], int]) -> int:
    try:
        return bind(address)
    except RuntimeError as error:
        message = f"cannot listen on {address}: is another process using the port?"
        raise OSError(message) from error
