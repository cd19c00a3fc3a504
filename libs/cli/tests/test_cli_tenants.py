"""``maasloop tenants``: declared before a start, refused where two would have the same districts, removed from a server."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maasloop.api.device.v1.device_pb2 import Device
from maasloop.api.device.v1.device_service_pb2 import ListDevicesResponse
from maasloop.bus.city import City, CityUser
from maasloop.bus.connection import Bus, connect
from maasloop.bus.subjects import MQTT_STREAM
from maasloop.bus.tenants import Tenant
from maasloop.cli.selftest.city import until
from maasloop.core.clock import SystemClock
from maasloop.identity.certificates import DevelopmentCertificates, Holder
from maasloop.identity.nats.claims import Rights, User
from maasloop.stack.servers.nats import NatsIdentities, NatsServer
from maasloop.stack.state import ServiceAddresses, StackState, StateDirectory
from maasloop.stack.streams import ensure_streams

BUREN = Tenant("buren", ("haven",))
UPLINK = "$MQTT.msgs.dev.v1.haven.dusk.up.observations-json"
GONE_TIMEOUT_S = 120.0
"""The server closes connections and deletes files after it has answered."""


@pytest.fixture(name="tenants")
def _tenants(maasloop: Any, tmp_path: Path) -> Callable[..., Any]:
    return lambda *arguments: maasloop("--root", str(tmp_path), "tenants", *arguments)


def test_tenants_are_declared_one_after_the_other(tenants: Callable[..., Any], tmp_path: Path) -> None:
    """The city has every district until it names its own; then others may be beside it."""
    assert json.loads(tenants("list", "--json").out) == [{"tenant": "city", "districts": []}]
    refused = tenants("set", "buren", "--district", "haven")
    assert refused.status == 1
    assert "each names its districts" in refused.error

    assert tenants("set", "city", "--district", "noord", "--district", "zuid").status == 0
    assert tenants("set", "buren", "--district", "haven").status == 0
    assert tenants("set", "kade", "--district", "noord").status == 1

    found = json.loads(tenants("list", "--json").out)
    assert found == [{"tenant": "city", "districts": ["noord", "zuid"]}, {"tenant": "buren", "districts": ["haven"]}]
    (file,) = (tmp_path / ".maasloop").rglob("tenants.json")
    assert file.stat().st_mode & 0o777 == 0o600


def test_only_a_tenant_that_may_go_is_removed(tenants: Callable[..., Any]) -> None:
    """Neither one that there is not, nor the city's own, which is not touched by the attempt."""
    assert tenants("set", "city", "--district", "noord").status == 0

    assert "RESOURCE_NOT_FOUND" in tenants("remove", "buren").error
    assert "STATE_FORBIDS" in tenants("remove", "city").error
    assert json.loads(tenants("list", "--json").out) == [{"tenant": "city", "districts": ["noord"]}]


@pytest.fixture(name="server")
def _server(tmp_path: Path, contract: Any) -> Iterator[NatsServer]:
    """A message server of a city with two tenants, and the state of a stack whose registry is the contract's."""
    state, clock = StateDirectory(tmp_path), SystemClock()
    city = City(state.secrets / "nats", clock)
    city.declare([Tenant("city", ("noord",)), BUREN])
    city.ensure()
    made = DevelopmentCertificates(tmp_path / "tls", clock)
    made.ensure([Holder("nats")])
    files = made.files("nats")
    server = NatsServer(state.nats, identities=NatsIdentities(city, files))
    with state.hold():
        server.start()
        asyncio.run(ensure_streams(server))
        host, port = server.mqtt_address
        told = StackState(
            pid=os.getpid(),
            ready=True,
            nats_url=server.url,
            mqtt_host=host,
            mqtt_port=port,
            nats_monitor_url=server.monitor_url,
            postgres_dsn="",
            service_dsns={},
            services={"device-registry": ServiceAddresses(contract.address, "")},
            pids={},
            nats_users=str(city.directory / "users"),
            ca_file=str(files.authority),
        )
        state.write(told)
        yield server
        server.stop()


@pytest.mark.integration
@pytest.mark.timeout(300)
async def test_a_tenant_leaves(tenants: Callable[..., Any], contract: Any, server: NatsServer) -> None:
    """While it has a device, or an uplink waits, it stays; then its account, streams and connections are gone."""
    assert server.identities is not None
    city, authority = server.identities.city, server.identities.tls.authority
    account = city.key(BUREN.account).public_key
    kept = server.directory / "jetstream" / account
    retired = Device(state=Device.STATE_RETIRED)
    observer = city.write_user(CityUser("observer", BUREN.account, User(Rights((">",), (">",)))))
    async with connect(server.url, name="observer", credentials_file=observer, authority_file=authority) as bus:
        await bus.publish(UPLINK, b"a reading", {"Nats-Msg-Id": "1"})
        assert any(path.is_file() for path in kept.rglob("*"))
        contract.answers["ListDevices"] = [ListDevicesResponse(devices=[retired, Device(state=Device.STATE_ACTIVE)])]
        used = await asyncio.to_thread(tenants, "remove", "buren")
        contract.answers["ListDevices"] = [ListDevicesResponse(devices=[retired])]
        waiting = await asyncio.to_thread(tenants, "remove", "buren")
        await bus.api(f"STREAM.PURGE.{MQTT_STREAM}")
        removed = await asyncio.to_thread(tenants, "remove", "buren")
        await until(lambda: asyncio.to_thread(_gone, bus, kept), GONE_TIMEOUT_S)

    assert (used.status, "RESOURCE_IN_USE: 1 devices of buren" in used.error) == (1, True)
    assert (waiting.status, "has not taken 1 uplinks" in waiting.error) == (1, True)
    assert (removed.status, "buren is gone" in removed.out) == (0, True), removed.error
    assert [tenant.name for tenant in city.tenants] == ["city"]
    assert not list(city.directory.rglob("*buren*"))
    assert account not in server.configuration()


def _gone(bus: Bus, kept: Path) -> bool:
    return not bus.connected and not any(path.is_file() for path in kept.rglob("*"))
