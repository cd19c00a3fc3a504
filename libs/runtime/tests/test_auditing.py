"""Calls of a real server leave entries in a real log, or do not happen."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from maasloop.api.consent.v1 import consent_service_pb2
from maasloop.api.device.v1 import device_pb2, device_service_pb2, device_service_pb2_grpc
from maasloop.api.observation.v1 import ingest_service_pb2
from maasloop.audit.entries import Entry, Verb, decode
from maasloop.audit.pseudonyms import Pseudonyms
from maasloop.core.clock import FakeClock, SystemClock
from maasloop.core.errors import FailedPrecondition, PermissionDenied, Unauthenticated, Unavailable
from maasloop.identity.certificates import DevelopmentCertificates, Holder
from maasloop.identity.principals import Grant, Kind, Principal
from maasloop.identity.tls import LiveTls
from maasloop.postgres.pool import Pool, open_pool
from maasloop.rpc import client
from maasloop.rpc.auditing import CallAudit, resource_of, verb_of
from maasloop.rpc.authentication import Security
from maasloop.rpc.server import RpcServer
from maasloop.runtime import auditing
from maasloop.runtime.auditing import AuditTrail

SERVICE = "maasloop.api.device.v1.DeviceService"
REGISTRY = "device-registry"
PSEUDONYMS = Pseudonyms(b"k" * 32)
DEVICE = "districts/noord/devices/lamp-1"
CREATE = device_service_pb2.CreateDeviceRequest(
    parent="districts/noord", device_id="lamp-1", device=device_pb2.Device(device_type="deviceTypes/lamp")
)


class Door(device_service_pb2_grpc.DeviceServiceServicer):
    """Creates devices, and counts them; refuses to retire one."""

    def __init__(self) -> None:
        self.created = 0

    async def GetDevice(self, request: Any, context: Any) -> device_pb2.Device:  # noqa: ANN401, D102, N802 - a method as gRPC names it
        return device_pb2.Device(name=request.name)

    async def CreateDevice(self, request: Any, context: Any) -> device_pb2.Device:  # noqa: ANN401, D102, N802 - a method as gRPC names it
        self.created += 1
        return device_pb2.Device(name=DEVICE)

    async def RetireDevice(self, request: Any, context: Any) -> device_pb2.Device:  # noqa: ANN401, D102, N802 - a method as gRPC names it
        message = "retired already"
        raise FailedPrecondition("STATE_FORBIDS", message)


@pytest.fixture(name="dsn")
def _dsn(service_dsn: Callable[[str], str]) -> str:
    return service_dsn(REGISTRY)


@pytest.fixture(name="pool")
async def _pool(dsn: str) -> AsyncIterator[Pool]:
    async with open_pool(dsn, name="test") as pool:
        yield pool


@pytest.fixture(name="trail")
async def _trail(pool: Pool) -> AsyncIterator[AuditTrail]:
    trail = AuditTrail(pool, SystemClock())
    task = asyncio.create_task(trail.run())
    yield trail
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.fixture(name="door")
def _door() -> Door:
    return Door()  # type: ignore[abstract]  # the other methods stay unimplemented


@pytest.fixture(name="made")
def _made(tmp_path: Path) -> DevelopmentCertificates:
    made = DevelopmentCertificates(tmp_path / "tls", SystemClock())
    made.ensure(
        [
            *(Holder(name, Principal(Kind.SERVICE, name)) for name in (REGISTRY, "notification")),
            Holder("operator", Principal(Kind.OPERATOR, "local"), hosts=()),
        ]
    )
    return made


@pytest.fixture(name="server")
async def _server(made: DevelopmentCertificates, trail: AuditTrail, door: Door) -> AsyncIterator[RpcServer]:
    audit = CallAudit(trail, PSEUDONYMS, SystemClock())
    security = Security(tls=LiveTls(made.files(REGISTRY)), public_address="127.0.0.1:0", audit=audit)
    server = RpcServer("127.0.0.1:0", [SERVICE], security=security)
    device_service_pb2_grpc.add_DeviceServiceServicer_to_server(door, server.registrar)
    await server.start()
    yield server
    await server.stop(0)


async def entries(trail: AuditTrail, dsn: str) -> list[Entry]:
    """Return what the log says, with what waits."""
    await trail.flush()
    return await stored(dsn)


async def stored(dsn: str) -> list[Entry]:
    """Return what the log says."""
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        rows = await (await connection.execute("SELECT entry FROM audit.read(0, 1000)")).fetchall()
    return [decode(row[0]) for row in rows]


async def _call(server: RpcServer, made: DevelopmentCertificates, holder: str, method: str, request: Any) -> None:  # noqa: ANN401 - a message
    async with client.connected(server.address, peer=client.Peer(REGISTRY, made.files(holder))) as channel:
        stub: Any = device_service_pb2_grpc.DeviceServiceStub(channel)
        await client.call(getattr(stub, method), request, timeout_s=30)


async def test_a_change_is_asked_and_done(
    server: RpcServer, made: DevelopmentCertificates, trail: AuditTrail, dsn: str
) -> None:
    """A changing call leaves two entries of one call; reading a device leaves none."""
    await _call(server, made, "operator", "GetDevice", device_service_pb2.GetDeviceRequest(name=DEVICE))
    await _call(server, made, "operator", "CreateDevice", CREATE)

    asked, changed = await entries(trail, dsn)

    assert (asked.verb, changed.verb, changed.outcome) == (Verb.ASKED, Verb.CHANGED, "OK")
    assert asked.actor == "operator/local"
    assert asked.method == f"{SERVICE}/CreateDevice"
    assert asked.resource == changed.resource == DEVICE
    assert asked.call == changed.call != ""


async def test_what_fails_says_why(
    server: RpcServer, made: DevelopmentCertificates, trail: AuditTrail, dsn: str
) -> None:
    """A call that was let in and did not succeed has its reason."""
    with pytest.raises(FailedPrecondition):
        await _call(server, made, "operator", "RetireDevice", device_service_pb2.RetireDeviceRequest(name=DEVICE))

    failed = (await entries(trail, dsn))[-1]

    assert (failed.verb, failed.outcome, failed.reason) == (Verb.FAILED, "FAILED_PRECONDITION", "STATE_FORBIDS")


async def test_a_refusal_leaves_an_entry(
    server: RpcServer, made: DevelopmentCertificates, trail: AuditTrail, dsn: str
) -> None:
    """Who has no right, and who is nobody, is written down with the reason."""
    with pytest.raises(PermissionDenied):
        await _call(server, made, "notification", "CreateDevice", CREATE)
    peer = client.Peer(REGISTRY, made.files("notification"))
    async with client.connected(server.public_address, peer=peer) as channel:
        stub: Any = device_service_pb2_grpc.DeviceServiceStub(channel)
        with pytest.raises((Unauthenticated, Unavailable)):
            await client.call(stub.CreateDevice, CREATE, timeout_s=30)

    refused = await entries(trail, dsn)

    assert {entry.verb for entry in refused} == {Verb.REFUSED}
    assert ("service/notification", "PERMISSION_DENIED", "PERMISSION_MISSING") in {
        (entry.actor, entry.outcome, entry.reason) for entry in refused
    }


async def test_nothing_changes_without_the_log(
    server: RpcServer, made: DevelopmentCertificates, door: Door, postgres_dsn: str
) -> None:
    """With a log that takes no entries a change is refused before it happens, and reads go on."""
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION audit.append FROM maasloop_device_registry")

    with pytest.raises(Unavailable) as refused:
        await _call(server, made, "operator", "CreateDevice", CREATE)
    await _call(server, made, "operator", "GetDevice", device_service_pb2.GetDeviceRequest(name=DEVICE))

    assert refused.value.reason == "AUDIT_UNAVAILABLE"
    assert door.created == 0


async def test_what_has_happened_waits_for_the_log(
    trail: AuditTrail, dsn: str, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry of something done is kept until the log takes it, in order, and before later ones."""
    monkeypatch.setattr(auditing, "RETRY_PAUSE_S", 0.01)
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION audit.append FROM maasloop_device_registry")
        for number in range(3):
            trail.note(Entry(time_us=number, verb=Verb.CHANGED, actor="operator/local"))
        with pytest.raises(Unavailable):
            await trail.record(Entry(time_us=9, verb=Verb.ASKED, actor="operator/local"))
        assert trail.trouble()
        connection.execute("GRANT EXECUTE ON FUNCTION audit.append TO maasloop_device_registry")
    await trail.record(Entry(time_us=3, verb=Verb.ASKED, actor="operator/local"))

    assert [entry.time_us for entry in await entries(trail, dsn)] == [0, 1, 2, 3]
    assert not trail.trouble()


async def test_what_has_happened_is_written_at_the_end(pool: Pool, dsn: str) -> None:
    """A process that is told to stop writes what still waits, also what it had in hand."""
    trail = AuditTrail(pool, SystemClock())
    running = asyncio.create_task(trail.run())
    await asyncio.sleep(0)
    for number in range(5):
        trail.note(Entry(time_us=number, verb=Verb.CHANGED, actor="operator/local"))
    # It takes the entries in hand, and is cancelled while the database has them.
    await asyncio.sleep(0)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running

    assert {entry.time_us for entry in await stored(dsn)} == {0, 1, 2, 3, 4}


async def test_a_flood_of_refusals_fills_no_disk(pool: Pool, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusals beyond the rate are counted and not written; the rate comes back with time."""
    monkeypatch.setattr(auditing, "REFUSALS_BURST", 5.0)
    monkeypatch.setattr(auditing, "REFUSALS_PER_S", 1.0)
    clock = FakeClock()
    trail = AuditTrail(pool, clock)
    refusal = Entry(time_us=1, verb=Verb.REFUSED, actor="nobody")
    for _ in range(100):
        trail.note_refusal(refusal)
    await clock.advance(2.0)
    for _ in range(100):
        trail.note_refusal(refusal)

    assert len(await entries(trail, dsn)) == 7


async def test_a_full_memory_refuses(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is bounded; beyond, a change is refused at once."""
    monkeypatch.setattr(auditing, "WAITING_MAX", 2)
    trail = AuditTrail(pool, SystemClock())
    entry = Entry(time_us=1, verb=Verb.CHANGED, actor="nobody")
    for _ in range(3):
        trail.note(entry)

    with pytest.raises(Unavailable):
        await trail.record(entry)


def test_a_person_is_no_operator() -> None:
    """Who acts for herself stays a pseudonym, as subject and as actor; roles are named with their districts."""
    audit: Any = CallAudit(AuditTrail(None, FakeClock()), PSEUDONYMS, FakeClock())  # type: ignore[arg-type]  # nothing is written
    grants = (Grant("citizen", None), Grant("operator", frozenset({"zuid", "noord"})))
    person = Principal(Kind.PERSON, "ada", grants=grants, data_subject="p-1", credential="token-7")

    entry = audit.entry(person, "/a.B/C", Verb.READ, resource="dataSubjects/p-1")

    assert entry.actor == f"person/{PSEUDONYMS.of('p-1')}"
    assert entry.resource == f"dataSubjects/{PSEUDONYMS.of('p-1')}"
    assert entry.authority == "citizen,operator@noord+zuid"
    assert entry.credential == "token-7"


def test_methods_are_judged_by_their_permission() -> None:
    """Changes and reads of personal data are audited; other reads, the data path and foreign methods are not."""
    consent = f"/{consent_service_pb2.DESCRIPTOR.services_by_name['ConsentService'].full_name}"
    ingest = f"/{ingest_service_pb2.DESCRIPTOR.services_by_name['IngestService'].full_name}"
    assert verb_of(f"/{SERVICE}/CreateDevice") is Verb.CHANGED
    assert verb_of(f"/{SERVICE}/GetDevice") is None
    assert verb_of(f"{consent}/ListConsentRecords") is Verb.READ
    assert verb_of(f"{ingest}/RecordObservations") is None
    assert verb_of("/grpc.health.v1.Health/Check") is None


def test_a_request_names_what_it_is_about() -> None:
    """The resource comes from where the contract puts it."""
    pb = device_service_pb2
    assert resource_of(CREATE) == DEVICE
    assert resource_of(pb.GetDeviceRequest(name=DEVICE)) == DEVICE
    assert resource_of(pb.UpdateDeviceRequest(device=device_pb2.Device(name=DEVICE))) == DEVICE
    assert resource_of(pb.ListDevicesRequest(parent="districts/noord")) == "districts/noord"
    assert resource_of(pb.CreateDeviceTypeRequest(device_type_id="lamp")) == "deviceTypes/lamp"
    assert resource_of(pb.ListDistrictsRequest()) == ""
