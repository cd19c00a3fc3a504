"""A NATS server with the identities of a city, without services: what devices and the users of a city connect to."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiomqtt

from maasloop.bus.city import City
from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import MqttDoor, ensure
from maasloop.bus.rights import ENSURE, ENSURE_DEVICES
from maasloop.core.clock import SystemClock
from maasloop.identity.certificates import DevelopmentCertificates, Holder, TlsFiles
from maasloop.identity.nats.credentials import read_credentials
from maasloop.stack.servers.nats import NatsIdentities, NatsServer
from maasloop.testing.providers import scratch_directory

WAIT_S = 60
"""Longest wait for what must come, on a busy machine."""


class Town:
    """A server in operator mode, with TLS at both doors."""

    def __init__(self, directory: Path, *, extra_configuration: str = "", domain: str = "") -> None:
        """Make identities and start the server."""
        clock = SystemClock()
        self.directory = directory
        self.city = City(directory / "identities", clock)
        self.city.ensure()
        certificates = DevelopmentCertificates(directory / "tls", clock)
        certificates.ensure([Holder("nats")])
        self.tls: TlsFiles = certificates.files("nats")
        self.server = NatsServer(
            directory / "nats",
            identities=NatsIdentities(self.city, self.tls),
            extra_configuration=extra_configuration,
            domain=domain,
        )
        self.server.start()

    @property
    def callout_directory(self) -> Path:
        """What the registry is told to answer about clients."""
        return self.city.directory / "callout"

    @asynccontextmanager
    async def connected(self, user: str) -> AsyncIterator[Bus]:
        """Connect as one of the city's users."""
        credentials, authority = self.city.credentials(user), self.tls.authority
        async with connect(self.server.url, name=user, credentials_file=credentials, authority_file=authority) as bus:
            yield bus

    async def ensure(self) -> None:
        """Declare the streams as a deployment does."""
        host, port = self.server.mqtt_address
        token, _ = read_credentials(self.city.credentials(ENSURE_DEVICES).read_text())
        async with self.connected(ENSURE) as core, self.connected(ENSURE_DEVICES) as devices:
            door = MqttDoor(devices, token, self.tls.authority)
            await ensure(core, mqtt_url=f"mqtt://{host}:{port}", door=door)

    def tls_context(self) -> ssl.SSLContext:
        """Return what a device trusts."""
        return ssl.create_default_context(cafile=self.tls.authority)

    def mqtt(self, user_name: str, password: str, *, client_id: str = "", timeout_s: float = WAIT_S) -> aiomqtt.Client:
        """Return an MQTT client, which connects when it is entered; its client id is its user name unless given."""
        host, port = self.server.mqtt_address
        return aiomqtt.Client(
            host,
            port,
            username=user_name,
            password=password,
            identifier=client_id or user_name,
            tls_context=self.tls_context(),
            timeout=timeout_s,
        )


@contextmanager
def running_town(*, extra_configuration: str = "", domain: str = "") -> Iterator[Town]:
    """Run a town on empty state."""
    with scratch_directory() as directory:
        town = Town(directory, extra_configuration=extra_configuration, domain=domain)
        try:
            yield town
        finally:
            town.server.stop()
