"""The step that declares streams, as the users that may."""

from maasloop.bus.connection import connect
from maasloop.bus.ensure import MqttDoor, ensure
from maasloop.bus.rights import ENSURE
from maasloop.identity.nats.credentials import read_credentials
from maasloop.stack.servers.nats import NatsServer


async def ensure_streams(nats: NatsServer) -> list[str]:
    """Declare every stream and durable on a server of this machine; returns a line for each change."""
    host, port = nats.mqtt_address
    mqtt_url = f"mqtt://{host}:{port}"
    if nats.identities is None:
        async with connect(nats.url, name="stack") as bus:
            return await ensure(bus, mqtt_url=mqtt_url)
    city, authority = nats.identities.city, nats.identities.tls.authority
    changes = []
    for tenant in city.tenants:
        devices = city.credentials(tenant.ensure_user)
        token, _ = read_credentials(devices.read_text())
        async with (
            connect(nats.url, name="stack", credentials_file=city.credentials(ENSURE), authority_file=authority) as bus,
            connect(nats.url, name="stack", credentials_file=devices, authority_file=authority) as behind_door,
        ):
            door = MqttDoor(behind_door, token, authority, tenant)
            changes += await ensure(bus, mqtt_url=mqtt_url, door=door)
    return changes
