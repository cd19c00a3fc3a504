"""The command line against the real registry, the real consent service and the real bus."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maasloop.api.consent.v1 import consent_service_pb2
from maasloop.bus import connection as bus_connection
from maasloop.bus.subjects import CONSENT_GRANTED
from maasloop.rpc import client
from maasloop.stack.ports import free_ports
from maasloop.testing.service_process import service_process

pytestmark = pytest.mark.timeout(180)
"""Starting processes takes long on a busy machine."""


@pytest.fixture(name="address")
def _address(
    service_dsn: Callable[[str], str],
    nats_url: str,
    request: pytest.FixtureRequest,
    maasloop: Any,
) -> Iterator[str]:
    service: str = request.param
    address = f"127.0.0.1:{free_ports(1)[0]}"
    assert maasloop("--nats", nats_url, "streams", "ensure").status == 0
    with service_process(service, postgres_dsn=service_dsn(service), nats_url=nats_url, grpc_address=address):
        yield address


CATALOGUE = {
    "observedProperties": [
        {
            "name": "observedProperties/power",
            "displayName": "Power",
            "domain": "energy",
            "kind": "KIND_NUMBER",
            "unit": "W",
            "retention": "2y",
        }
    ],
    "districts": [{"name": "districts/noord", "displayName": "Noord"}],
    "deviceTypes": [
        {"name": "deviceTypes/lamp", "displayName": "Lamp", "observedProperties": ["observedProperties/power"]}
    ],
    "deviceGroups": [{"name": "districts/noord/deviceGroups/kade", "displayName": "Kade"}],
}
ACTIVITIES = {
    "processingActivities": [
        {
            "name": "processingActivities/air",
            "displayName": "Air",
            "purpose": "Cleaner air",
            "legalBasis": "LEGAL_BASIS_CONSENT",
            "dataCategories": ["pm25"],
            "retention": "86400s",
            "controller": "City",
        }
    ]
}


async def _wait_for(address: str) -> None:
    async with client.connected(address) as channel:
        await client.wait_ready(channel, "the service")


def _apply(maasloop: Any, address: str, file: Path, service: str, catalogue: object) -> list[str]:
    """Apply a catalogue and return the outcomes."""
    _run(_wait_for(address))
    file.write_text(json.dumps(catalogue))
    ended = maasloop("--address", f"{service}={address}", "catalogue", "apply", str(file), "--json")
    assert ended.status == 0, ended.error
    return [row["outcome"] for row in json.loads(ended.out)]


@pytest.mark.parametrize("address", ["device-registry"], indirect=True)
def test_devices_are_imported_and_listed(maasloop: Any, address: str, tmp_path: Path) -> None:
    """A file goes in, devices come out, and a wrong file is refused by row."""
    catalogue = tmp_path / "catalogue.json"
    assert _apply(maasloop, address, catalogue, "device-registry", CATALOGUE) == ["created"] * 4
    assert _apply(maasloop, address, catalogue, "device-registry", CATALOGUE) == ["exists"] * 4
    options = ["--address", f"device-registry={address}", "devices"]
    file = tmp_path / "lamps.csv"
    file.write_text("device,device_type,longitude,latitude\nlamp-1,lamp,4.5,51.9\nlamp-2,lamp,,\n")

    assert maasloop(*options, "import", str(file), "--district", "noord", "--activate").out.startswith("2 devices")
    assert len(maasloop(*options, "list", "noord", "--state", "active").out.splitlines()) == 3
    assert "lamp-1" in maasloop(*options, "list", "--box", "4,51,5,52").out
    shown = json.loads(maasloop(*options, "get", "noord/lamp-1", "--json").out)
    assert shown["location"] == {"longitude": 4.5, "latitude": 51.9}
    ended = maasloop(*options, "get", "noord/lamp-9")
    assert (ended.status, ended.error.split(":")[1]) == (1, " RESOURCE_NOT_FOUND")
    file.write_text("device,device_type\nlamp-3,unknown\n")
    ended = maasloop(*options, "import", str(file), "--district", "noord")
    assert ended.status == 1
    assert "row 2" in ended.error


@pytest.mark.parametrize("address", ["device-registry"], indirect=True)
def test_a_device_is_enrolled_once_and_taken_out(maasloop: Any, address: str, tmp_path: Path) -> None:
    """A claim gives a credential and no second one; quarantine and release change the state, a revoked one says when."""
    assert _apply(maasloop, address, tmp_path / "catalogue.json", "device-registry", CATALOGUE) == ["created"] * 4
    options = ["--address", f"device-registry={address}"]
    file = tmp_path / "lamps.csv"
    file.write_text("device,device_type\nlamp-1,lamp\n")
    assert maasloop(*options, "devices", "import", str(file), "--district", "noord", "--activate").status == 0

    claim = maasloop(*options, "claims", "create", "noord").out.strip()
    enrolled = json.loads(maasloop(*options, "enrol", "noord/lamp-1", "--claim", claim, "--json").out)
    assert (enrolled["userName"], enrolled["clientId"]) == ("noord/lamp-1", "noord/lamp-1")
    assert enrolled["password"].startswith("mld_")
    ended = maasloop(*options, "enrol", "noord/lamp-1", "--claim", claim)
    assert (ended.status, ended.error.split(":")[1]) == (1, " CLAIM_INVALID")
    assert maasloop(*options, "devices", "quarantine", "noord/lamp-1").status == 0
    assert "lamp-1" in maasloop(*options, "devices", "list", "--state", "quarantined").out
    assert maasloop(*options, "devices", "release", "noord/lamp-1").status == 0
    assert maasloop(*options, "credentials", "revoke", enrolled["credential"]).status == 0
    (listed,) = json.loads(maasloop(*options, "credentials", "list", "noord/lamp-1", "--json").out)
    assert listed["revokeTime"]


@pytest.mark.parametrize("address", ["consent"], indirect=True)
def test_consent_is_granted_checked_and_withdrawn(maasloop: Any, address: str, tmp_path: Path) -> None:
    """The exit status of a check tells whether it is permitted."""
    assert _apply(maasloop, address, tmp_path / "activities.json", "consent", ACTIVITIES) == ["created"]
    options = ["--address", f"consent={address}", "consent"]

    assert maasloop(*options, "check", "someone", "air").status == 1
    assert maasloop(*options, "withdraw", "someone", "air").status == 1
    granted = json.loads(maasloop(*options, "grant", "someone", "air", "--notice", "1", "--json").out)
    assert granted["state"] == "STATE_GIVEN"
    assert maasloop(*options, "check", "someone", "air").status == 0
    assert "STATE_WITHDRAWN" in maasloop(*options, "withdraw", "someone", "air").out
    assert maasloop(*options, "withdraw", granted["name"]).status == 0
    ended = maasloop(*options, "check", "someone", "air")
    assert (ended.status, ended.out) == (1, "not permitted: the person's consent is withdrawn\n")


def test_streams_are_ensured_once(maasloop: Any, nats_url: str, mqtt_address: tuple[str, int]) -> None:
    """The second time nothing changes."""
    options = ["--nats", nats_url, "--mqtt", f"mqtt://{mqtt_address[0]}:{mqtt_address[1]}", "streams", "ensure"]

    assert "created stream OBSERVATIONS" in maasloop(*options).out
    assert maasloop(*options).out == "everything is as declared\n"
    assert json.loads(maasloop(*options, "--json").out) == []


def test_a_broker_that_is_away_is_named(maasloop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bus must answer at once."""
    monkeypatch.setattr("maasloop.cli.calling.CONNECT_TIMEOUT_S", 0.3)
    ended = maasloop("--nats", "nats://127.0.0.1:1", "streams", "ensure")

    assert ended.status == 3
    assert "NEIGHBOUR_UNAVAILABLE" in ended.error


def test_any_subject_is_watched(maasloop: Any, nats_url: str) -> None:
    """Facts are decoded by their envelope, confirmations by their subject, device topics as text."""
    ended = threading.Event()

    async def publish() -> None:
        body = consent_service_pb2.CheckConsentResponse(permitted=True).SerializeToString()
        async with bus_connection.connect(nats_url, name="test") as bus:
            while not ended.is_set():
                await bus.tell("dev.v1.noord.lamp-1.up.observations-json", b'{"a":1}')
                await bus.tell(CONSENT_GRANTED.subject("all", "someone"), body, {"ce-type": "unknown"})
                await bus.check()

    thread = threading.Thread(target=lambda: _run(publish()))
    thread.start()
    try:
        device = maasloop("--nats", nats_url, "watch", "dev.v1.>", "--count", "1", "--json")
        granted = maasloop("--nats", nats_url, "watch", "maasloop.consent.>", "--count", "1")
    finally:
        ended.set()
        thread.join()

    assert json.loads(device.out)["body"] == {"a": 1}
    assert CONSENT_GRANTED.subject("all", "someone") in granted.out


def _run(work: Any) -> None:
    import asyncio

    asyncio.run(work)
