"""The accounts of a city on the real server: what crosses between them, and what is refused."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from ssl import create_default_context
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from maasloop.bus import subjects
from maasloop.bus.city import BOTH, City, CityUser
from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import MqttDoor, ensure
from maasloop.bus.pull import Pull
from maasloop.bus.rights import DOWNLINK, ENSURE, ENSURE_DEVICES, OPERATOR, SERVICES
from maasloop.bus.streams import MQTT_UPLINKS, QUARANTINE_TABLE
from maasloop.core.clock import SystemClock
from maasloop.core.errors import Unavailable
from maasloop.identity.certificates import DevelopmentCertificates, Holder, TlsFiles
from maasloop.identity.nats.claims import Rights, User
from maasloop.identity.nats.credentials import read_credentials
from maasloop.stack.servers.nats import NatsIdentities, NatsServer
from maasloop.testing.providers import scratch_directory

pytestmark = pytest.mark.integration

UP = "dev.v1.noord.lamp-1.up.observations-json"
DOWN = "dev.v1.noord.lamp-1.down.commands"
WAIT_S = 20


class Town:
    """A server in operator mode with the identities of a city."""

    def __init__(self, directory: Path) -> None:
        """Make identities and start the server."""
        clock = SystemClock()
        self.city = City(directory / "identities", clock)
        self.city.ensure()
        certificates = DevelopmentCertificates(directory / "tls", clock)
        certificates.ensure([Holder("nats")])
        self.tls: TlsFiles = certificates.files("nats")
        self.server = NatsServer(directory / "nats", identities=NatsIdentities(self.city, self.tls))
        self.server.start()

    @asynccontextmanager
    async def connected(self, user: str) -> AsyncIterator[Bus]:
        """Connect as one of its users."""
        files = {"credentials_file": self.city.credentials(user), "authority_file": self.tls.authority}
        async with asyncio.timeout(WAIT_S), connect(self.server.url, name=user, **files) as bus:
            yield bus

    async def ensure(self) -> list[str]:
        """Declare the streams as a deployment does."""
        host, port = self.server.mqtt_address
        token, _ = read_credentials(self.city.credentials(ENSURE_DEVICES).read_text())
        async with self.connected(ENSURE) as core, self.connected(ENSURE_DEVICES) as devices:
            door = MqttDoor(devices, token, self.tls.authority)
            return await ensure(core, mqtt_url=f"mqtt://{host}:{port}", door=door)


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    """One town for all tests, with its streams."""
    with scratch_directory() as directory:
        town = Town(directory)
        asyncio.run(town.ensure())
        yield town
        town.server.stop()


async def _refused(bus: Bus, subject: str) -> bool:
    """Tell whether the server refuses a publish."""
    errors: list[str] = []

    async def hear(error: Exception) -> None:
        errors.append(str(error).lower())

    bus.client._error_cb = hear
    await bus.tell(subject, b"")
    # The first ping may overtake what was published before it.
    for _ in range(2):
        await bus.client.flush(timeout=WAIT_S)
    return any("permissions violation" in error for error in errors)


async def test_declaring_twice_changes_nothing(town: Town) -> None:
    """The users of the ensure step may do all that it needs, in both accounts."""
    assert await town.ensure() == []


@pytest.mark.parametrize("service", SERVICES)
async def test_nobody_publishes_the_facts_of_another(town: Town, service: str) -> None:
    """A service publishes its own facts and none of another, no command to a device, nothing to the system."""
    foreign = [fact.subject("noord", "x") for fact in subjects.FACTS if service not in fact.publisher.split(", ")]
    foreign += ["maasloop.deadletter.other.x", "$JS.API.STREAM.DELETE.OBSERVATIONS", "$SYS.REQ.CLAIMS.UPDATE", "x"]
    foreign.append(DOWN)
    async with town.connected(service) as bus:
        allowed = [subject for subject in foreign if not await _refused(bus, subject)]
    assert allowed == []


async def test_the_observations_of_devices_reach_ingest_and_no_other(town: Town) -> None:
    """A stored uplink crosses to ingest's durable, is acknowledged there, and its space is given back."""
    async with AsyncExitStack() as stack:
        device = await stack.enter_async_context(_device(town))
        ingest = await stack.enter_async_context(town.connected("ingest"))
        pull = await stack.enter_async_context(Pull(ingest, MQTT_UPLINKS))
        for number in range(3):
            await device.store(f"$MQTT.msgs.{UP}", b"%d" % number, {"Nats-Msg-Id": str(number)})
        taken = [(await pull.take(1, wait_s=WAIT_S))[0] for _ in range(3)]
        assert [each.body for each in taken] == [b"0", b"1", b"2"]
        for each in taken:
            await each.ack_proven()
        found = await ingest.api(f"CONSUMER.INFO.{subjects.MQTT_STREAM}.{MQTT_UPLINKS.name}")
        assert (found["num_pending"], found["num_ack_pending"]) == (0, 0)
        purged = await ingest.api(f"STREAM.PURGE.{subjects.MQTT_STREAM}", {"filter": subjects.MQTT_UPLINKS})
        assert purged["purged"] == 3
        notification = await stack.enter_async_context(town.connected("notification"))
        with pytest.raises(Unavailable):
            await notification.api(f"STREAM.PURGE.{subjects.MQTT_STREAM}", timeout_s=0.5)


async def test_live_uplinks_and_downlinks_cross(town: Town) -> None:
    """An uplink that nobody stores reaches ingest, a command reaches its device, each by core messages."""
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        await heard.put(message.subject)

    async with (
        _device(town) as device,
        town.connected("ingest") as ingest,
        town.connected(DOWNLINK) as actuation,
        town.connected(OPERATOR) as operator,
    ):
        await ingest.listen(subjects.UPLINKS_QOS0, hear, queue="ingest")
        await device.listen(DOWN, hear)
        for bus in (ingest, device):
            await bus.check()
        await device.tell(UP, b"{}")
        assert await asyncio.wait_for(heard.get(), WAIT_S) == UP
        await actuation.tell(DOWN, b"{}")
        assert await asyncio.wait_for(heard.get(), WAIT_S) == DOWN
        assert await _refused(operator, DOWN)


async def test_nothing_that_a_stream_delivers_reaches_a_device(town: Town) -> None:
    """Who pulls may name any subject for the answer: a command's, named so, does not cross to the devices."""
    at_device: asyncio.Queue[bytes] = asyncio.Queue()
    among_services: asyncio.Queue[bytes] = asyncio.Queue()

    async def arrived(message: Msg) -> None:
        await at_device.put(message.data)

    async def overheard(message: Msg) -> None:
        await among_services.put(message.data)

    asking = f"$JS.API.CONSUMER.MSG.NEXT.{QUARANTINE_TABLE.stream}.{QUARANTINE_TABLE.name}"
    async with (
        _device(town) as device,
        town.connected("ingest") as ingest,
        town.connected(DOWNLINK) as downlink,
        town.connected("timeseries") as timeseries,
        town.connected(OPERATOR) as operator,
    ):
        await device.listen(DOWN, arrived)
        await operator.listen(DOWN, overheard)
        for bus in (device, operator):
            await bus.check()
        quarantined = subjects.OBSERVATION_QUARANTINED.subject("noord", "http")
        await timeseries.publish(quarantined, b"a command?", {"Nats-Msg-Id": "forged"})
        await ingest.client.publish(asking, b"1", reply=DOWN)
        assert await asyncio.wait_for(among_services.get(), WAIT_S) == b"a command?"
        await downlink.tell(DOWN, b"a command")
        assert await asyncio.wait_for(at_device.get(), WAIT_S) == b"a command"


async def test_an_integrator_hears_what_is_open(town: Town) -> None:
    """An account that comes while the server runs hears readings that are no person's, and nothing else."""
    path = town.city.add_integrator("weather")
    await _tell(town, "INTEGRATOR-weather")
    assert path == town.city.credentials("integrator-weather")
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        await heard.put(message.subject)

    async with town.connected("integrator-weather") as weather, town.connected("ingest") as ingest:
        await weather.listen(subjects.OBSERVATION_RECORDED.wildcard(), hear)
        await weather.listen(subjects.COMMAND_ISSUED.wildcard(), hear)
        await weather.check()
        async with asyncio.timeout(WAIT_S):
            # The server goes on taking in what a new account may import after it has let it in.
            while heard.empty():
                for key in ("personal", "air"):
                    await ingest.tell(subjects.OBSERVATION_RECORDED.subject("noord", key), b"")
                await ingest.check()
                await asyncio.sleep(0.1)
        assert {heard.get_nowait() for _ in range(heard.qsize())} == {"maasloop.observation.recorded.v1.noord.air"}
        for subject in ("$JS.API.STREAM.INFO.OBSERVATIONS", "maasloop.observation.recorded.v1.noord.air", UP):
            assert await _refused(weather, subject)


async def test_who_is_revoked_is_out_at_once(town: Town) -> None:
    """The connection of a revoked integrator is closed and its credentials are void; new ones let it in again."""
    user, old = "integrator-noise", town.city.add_integrator("noise")
    await _tell(town, "INTEGRATOR-noise")
    options: dict[str, Any] = {"user_credentials": str(old), "tls": create_default_context(cafile=town.tls.authority)}
    closed = asyncio.Event()

    async def gone() -> None:
        closed.set()

    link = Client()
    await link.connect(town.server.url, **options, allow_reconnect=False, disconnected_cb=gone)
    town.city.revoke("INTEGRATOR-noise")
    await _tell(town, "INTEGRATOR-noise")
    await asyncio.wait_for(closed.wait(), WAIT_S)
    await link.close()
    refused = Client()
    with pytest.raises(NatsError):
        await refused.connect(town.server.url, **options, allow_reconnect=False)
    await refused.close()
    town.city.add_integrator("noise")
    async with town.connected(user) as again:
        await again.check()


async def test_a_service_comes_back_by_the_credential_in_its_file(town: Town) -> None:
    """A user that was given a new key before the old one became void is away for a moment only, on the same link."""
    async with town.connected("ingest") as bus:
        account, old = town.city.renew_user("ingest")
        town.city.revoke(account, old)
        again = asyncio.Event()
        bus.on_reconnect(again.set)
        await _tell(town, account)
        await asyncio.wait_for(again.wait(), WAIT_S)
        await bus.check()


async def _tell(town: Town, account: str) -> None:
    async with town.connected("accounts") as system:
        answer = await system.ask("$SYS.REQ.CLAIMS.UPDATE", town.city.token(account).encode(), timeout_s=WAIT_S)
    assert json.loads(answer)["data"]["code"] == 200


@asynccontextmanager
async def _device(town: Town) -> AsyncIterator[Bus]:
    """Connect as a user of the devices' account that stands for a device and for the MQTT listener."""
    rights = Rights((UP, f"$MQTT.msgs.{UP}"), (DOWN, "_INBOX_lamp-1.>"))
    town.city.write_user(CityUser("lamp-1", town.city.devices, User(rights, connection_types=BOTH)))
    async with town.connected("lamp-1") as bus:
        yield bus
