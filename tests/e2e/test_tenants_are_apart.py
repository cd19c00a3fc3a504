"""Two tenants share the services: the readings of both are stored, and no byte of one reaches the other's account."""

import asyncio
import json
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from nats.aio.msg import Msg
from tests.e2e.conftest import Town

from maasloop.api.device.v1.device_pb2 import Device, District
from maasloop.api.device.v1.device_service_pb2 import CreateDeviceRequest, CreateDistrictRequest, RetireDeviceRequest
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.bus.city import City, CityUser
from maasloop.bus.connection import connect
from maasloop.bus.subjects import UplinkKind, mqtt_topic, uplink
from maasloop.bus.tenants import Tenant
from maasloop.core.clock import SystemClock
from maasloop.identity.nats.claims import Rights, User
from maasloop.stack.state import StateDirectory
from maasloop.testing.plugin import running_stack
from maasloop.twin.demo.enrolment import enrol
from maasloop.twin.demo.registration import register_catalogue
from maasloop.twin.devices.readings import Reading, to_json

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TENANTS = (Tenant("city", ("noord",)), Tenant("buren", ("haven",)))
UNASSIGNED = "west"
HEARS_TENANTS = ("ingest", "timeseries")
CLI_TIMEOUT_S = 120
STORED = "SELECT count(*) FROM timeseries.latest JOIN timeseries.series ON id = series WHERE district = %s"


@pytest.fixture(name="shared", scope="module")
def _shared() -> Iterator[Town]:
    def declare(root: Path) -> None:
        City(StateDirectory(root).secrets / "nats", SystemClock()).declare(TENANTS)

    with running_stack(prepare=declare) as stack:
        yield Town(stack)


async def _sensors(town: Town) -> dict[str, str]:
    """Register a sensor in each district, let it enrol, and return the passwords by district."""
    passwords: dict[str, str] = {}
    async with town.channel("device-registry") as channel:
        await register_catalogue(channel)
        registry: Any = DeviceServiceStub(channel)
        for district in ("noord", "haven", UNASSIGNED):
            made = District(display_name=district)
            await registry.CreateDistrict(CreateDistrictRequest(district_id=district, district=made))
            parent, sensor = f"districts/{district}", Device(device_type="deviceTypes/light-sensor")
            request = CreateDeviceRequest(parent=parent, device_id="dusk", device=sensor, activate=True)
            await registry.CreateDevice(request)
            passwords |= {district: (await enrol(channel, district, ["dusk"]))["dusk"]}
    return passwords


def _client(town: Town, district: str, password: str) -> aiomqtt.Client:
    name = f"{district}/dusk"
    options = {**town.stack.mqtt.options(), "username": name, "password": password}
    return aiomqtt.Client(**options, identifier=name, protocol=aiomqtt.ProtocolVersion.V311, timeout=60)


@asynccontextmanager
async def _overheard(town: Town, tenant: Tenant) -> AsyncIterator[list[str]]:
    """Yield the subjects about devices that are heard in the account of a tenant by one who may hear everything."""
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(message.subject)

    identities = town.stack.nats.identities
    assert identities is not None
    user = CityUser(f"observer-{tenant.name}", tenant.account, User(Rights((">",), (">",))))
    path = identities.city.write_user(user)
    async with connect(
        town.stack.nats.url, name=user.name, credentials_file=path, authority_file=identities.tls.authority
    ) as bus:
        await bus.listen("dev.>", hear)
        await bus.check()
        yield heard
        await bus.check()


async def test_both_are_heard_and_neither_hears_the_other(shared: Town) -> None:
    """A reading and a refused payload of each: stored, answered in its own account, and in no other."""
    passwords = await _sensors(shared)
    async with _overheard(shared, TENANTS[0]) as in_city, _overheard(shared, TENANTS[1]) as in_buren:
        for district in ("noord", "haven"):
            topic = mqtt_topic(uplink(district, "dusk", UplinkKind.OBSERVATIONS_JSON))
            async with _client(shared, district, passwords[district]) as client:
                await client.subscribe(f"dev/v1/{district}/dusk/down/receipts", qos=0)

                async def stored(client: aiomqtt.Client = client, topic: str = topic, district: str = district) -> bool:
                    reading = Reading("dusk", "illuminance", shared.now_us(), 2.0)
                    await client.publish(topic, to_json([reading]), qos=1)
                    return bool(shared.rows(STORED, district)[0][0])

                await shared.until(stored)
                await client.publish(topic, b"no reading", qos=1)
                async with asyncio.timeout(60):
                    receipt = await anext(aiter(client.messages))
                assert receipt.topic.value == f"dev/v1/{district}/dusk/down/receipts"
    for heard, own in ((in_city, "noord"), (in_buren, "haven")):
        assert {subject.split(".")[2] for subject in heard} == {own}
        assert any(subject.endswith("down.receipts") for subject in heard)


async def test_a_device_of_no_tenant_is_let_in_nowhere(shared: Town) -> None:
    """The district that nobody has would have its readings stored by the broker and read by no one."""
    async with shared.channel("device-registry") as channel:
        password = (await enrol(channel, UNASSIGNED, ["dusk"]))["dusk"]
    with pytest.raises(aiomqtt.MqttError, match="Not authorized"):
        async with _client(shared, UNASSIGNED, password):
            pass


async def _maasloop(town: Town, *words: str) -> tuple[int, str]:
    command = (str(Path(sys.executable).with_name("maasloop")), "--root", str(town.stack.directory.root), *words)
    told = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=told, stderr=asyncio.subprocess.STDOUT)
    printed, _ = await asyncio.wait_for(process.communicate(), CLI_TIMEOUT_S)
    return int(process.returncode or 0), printed.decode()


def _metrics(town: Town, service: str) -> str:
    with urllib.request.urlopen(f"http://{town.stack.addresses[service].health}/metrics", timeout=60) as page:
        return str(page.read().decode())


async def test_who_left_is_asked_for_no_more(shared: Town) -> None:
    """Without a restart: both readers count the tenant that left, and the balance is exact with all it had sent."""
    async with shared.channel("device-registry") as channel:
        registry: Any = DeviceServiceStub(channel)
        await registry.RetireDevice(RetireDeviceRequest(name="districts/haven/devices/dusk"))

    async def removed() -> bool:
        # Its last uplinks may still be on their way.
        return await _maasloop(shared, "tenants", "remove", "buren") == (0, "buren is gone\n")

    async def noticed() -> bool:
        pages = [await asyncio.to_thread(_metrics, shared, service) for service in HEARS_TENANTS]
        return all("\nmaasloop_tenants_left_total 1.0" in page for page in pages)

    await shared.until(removed)
    await shared.until(noticed)
    status, balance = await _maasloop(shared, "account", "--json")
    assert status == 0, balance
    terms = json.loads(balance)
    assert shared.rows(STORED, "haven")[0][0] == 1
    assert (terms["balanced"], terms["lost"]) == (True, 0)
