"""Devices with client certificates, at a second nats-server that takes nothing else and is joined as a leaf node."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiomqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from maasloop.api.device.v1 import credential_service_pb2 as pb
from maasloop.bus.rights import ENSURE_DEVICES
from maasloop.core.clock import SystemClock
from maasloop.core.errors import InvalidArgument
from maasloop.identity.certificates import CertificateAuthority
from maasloop.rpc.client import call
from maasloop.stack.ports import LOOPBACK, free_ports
from maasloop.stack.process import ManagedProcess
from maasloop.stack.servers.nats import CONTROL_LINE_MAX_BYTES, TLS_TIMEOUT_S, nats_server_binary
from maasloop.testing.town import WAIT_S, Town, running_town

from .conftest import Doors, running_doors

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

DOMAIN = "hub"
"""The first server's JetStream, by the name under which the second one reaches it."""
NAME = "districts/noord/devices/lamp-1"
TOPIC = "dev/v1/noord/lamp-1/up/observations-json"


@dataclass(frozen=True)
class CertificateDoor:
    """The second server."""

    url: str
    mqtt_port: int
    process: ManagedProcess


def _authority(directory: Path) -> tuple[Path, Path]:
    """Make the city's authority for devices."""
    pair = CertificateAuthority.create(SystemClock().now(), "Devices of a city").pair
    certificate, key = directory / "devices.crt", directory / "devices.key"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    return certificate, key


def _door(town: Town, leaf_port: int, authority: Path) -> CertificateDoor:
    """Describe a server without a store: its sessions and messages lie in the first one's."""
    directory = town.directory / "certificates"
    directory.mkdir()
    client, mqtt = free_ports(2)
    server = f'cert_file: "{town.tls.certificate}", key_file: "{town.tls.key}", timeout: {TLS_TIMEOUT_S}'
    path = directory / "nats.conf"
    path.write_text(f"""server_name: certificates
listen: "{LOOPBACK}:{client}"
max_control_line: {CONTROL_LINE_MAX_BYTES}
tls {{ {server} }}
authorization {{ timeout: 2 }}
{town.city.server_configuration(directory / "accounts")}
{town.city.leaf_configuration(f"nats-leaf://{LOOPBACK}:{leaf_port}")}
mqtt {{
  listen: "{LOOPBACK}:{mqtt}"
  js_domain: {DOMAIN}
  tls {{ {server}, ca_file: "{authority}", verify: true }}
}}
""")
    process = ManagedProcess("certificates", [nats_server_binary(), "-c", str(path)], log_path=directory / "nats.log")
    return CertificateDoor(f"nats://{LOOPBACK}:{client}", mqtt, process)


@asynccontextmanager
async def _running(dsn: str) -> AsyncIterator[tuple[Doors, CertificateDoor]]:
    (leaf_port,) = free_ports(1)
    joined = f'leafnodes {{ listen: "{LOOPBACK}:{leaf_port}" }}\n'
    with running_town(extra_configuration=joined, domain=DOMAIN) as town:
        await town.ensure()
        certificate, key = _authority(town.directory)
        door = _door(town, leaf_port, certificate)
        door.process.start()
        try:
            async with running_doors(
                town,
                dsn,
                certificate_nats_url=door.url,
                device_authority_certificate_file=certificate,
                device_authority_key_file=key,
            ) as doors:
                yield doors, door
        finally:
            door.process.stop()


def _request(key: ec.EllipticCurvePrivateKey) -> str:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def _context(town: Town, chain: str = "", key: ec.EllipticCurvePrivateKey | None = None) -> ssl.SSLContext:
    context = town.tls_context()
    if key is not None:
        path = town.directory / "device.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + chain.encode())
        context.load_cert_chain(path)
    return context


def _client(door: CertificateDoor, context: ssl.SSLContext, client_id: str = "noord/lamp-1") -> aiomqtt.Client:
    return aiomqtt.Client(LOOPBACK, door.mqtt_port, identifier=client_id, tls_context=context, timeout=WAIT_S)


async def test_a_certificate_lets_its_device_in(service_dsn: Callable[[str], str]) -> None:
    """A device with a certificate by CSR is heard over the leaf; who shows none has no say at all; revoked, it is out."""
    async with _running(service_dsn("device-registry")) as (doors, door):
        name, key = await doors.device("lamp-1"), ec.generate_private_key(ec.SECP256R1())
        with pytest.raises(InvalidArgument):
            await doors.enrol(name, csr="no request")
        issued = await doors.enrol(name, csr=_request(key))
        context = _context(doors.town, issued.certificate_chain, key)
        await _until_joined(door, context)

        async with _client(door, context) as client:
            await client.publish(TOPIC, b"{}", qos=1, timeout=WAIT_S)
            async with doors.town.connected(ENSURE_DEVICES) as devices:
                state = (await devices.api("STREAM.INFO.$MQTT_msgs"))["state"]
                assert state["messages"] >= 1
            assert await _closed_by_tls(door, _context(doors.town))
            with pytest.raises(aiomqtt.MqttError, match="Not authorized"):
                async with _client(door, context, "noord/lamp-2"):
                    pass
            await call(doors.credentials.RevokeCredential, pb.RevokeCredentialRequest(name=issued.credential.name))
            with pytest.raises(aiomqtt.MqttError):
                await asyncio.wait_for(anext(aiter(client.messages)), WAIT_S)
        with pytest.raises(aiomqtt.MqttError):
            async with _client(door, context):
                pass


async def _closed_by_tls(door: CertificateDoor, context: ssl.SSLContext) -> bool:
    """Tell whether the server closes a client without a certificate before it could show a password."""
    reader, writer = await asyncio.open_connection(LOOPBACK, door.mqtt_port, ssl=context)
    try:
        return not await asyncio.wait_for(reader.read(1), WAIT_S)
    except (ssl.SSLError, ConnectionError):
        return True
    finally:
        writer.close()


async def _until_joined(door: CertificateDoor, context: ssl.SSLContext) -> None:
    """Wait until the second server has joined the first and asks the callout."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                async with _client(door, context):
                    return
            except aiomqtt.MqttError:
                await asyncio.sleep(0.2)
