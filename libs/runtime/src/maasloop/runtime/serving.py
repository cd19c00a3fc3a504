"""The gRPC doors of a service and its calls of neighbours, as its settings say."""

from collections.abc import Sequence

import grpc

from maasloop.bus.connection import Bus
from maasloop.core.clock import Clock
from maasloop.identity.tls import LiveTls
from maasloop.rpc.auditing import CallAudit
from maasloop.rpc.authentication import Security
from maasloop.rpc.authorization import Places, nowhere
from maasloop.rpc.client import Peer, channel
from maasloop.rpc.server import RpcServer

from .access import Access
from .settings import ServiceSettings


def rpc_server(
    settings: ServiceSettings,
    services: Sequence[str],
    clock: Clock,
    *,
    access: Access | None = None,
    audit: CallAudit | None = None,
) -> RpcServer:
    """Return the server of a service's listeners; ``services`` are full names, shown by reflection and health.

    Without ``access`` only services and the operator of the machine are let in, without ``audit`` no log is kept.
    """
    security = None
    if settings.tls is not None:
        security = Security(
            tls=LiveTls(settings.tls, clock),
            public_address=settings.public_grpc_address,
            tokens=access.tokens if access else None,
            authorizer=access.authorizer if access else None,
            audit=audit,
        )
    return RpcServer(settings.grpc_address, services, security=security, clock=clock)


def access_of(settings: ServiceSettings, bus: Bus, clock: Clock, places: Places = nowhere) -> Access:
    """Return what lets people and programs in; its tasks run beside the server."""
    return Access(settings.access, bus, clock, places, identified=settings.tls is not None)


def neighbour(settings: ServiceSettings, name: str) -> grpc.aio.Channel:
    """Return a channel to a neighbour, whose address is the setting ``{name}_address``; it is closed as a context."""
    address: str = getattr(settings, f"{name.replace('-', '_')}_address")
    return channel(address, peer=Peer(name, settings.tls) if settings.tls else None)
