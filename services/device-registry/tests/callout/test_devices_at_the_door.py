"""Devices at the door of the real broker: who gets in, and what one who is in may do."""

import asyncio
from pathlib import Path

import aiomqtt
import nats
import psycopg
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from maasloop.api.device.v1 import credential_service_pb2 as pb
from maasloop.audit.entries import Verb, decode
from maasloop.core.errors import FailedPrecondition, NotFound, ResourceExhausted, Unauthenticated
from maasloop.identity.command_keys import (
    SIGNING_KEY_FILE,
    VERIFICATION_KEYS_FILE,
    SigningKey,
    VerificationKeys,
    rotate_command_keys,
)
from maasloop.identity.nats.keys import KeyPair, Role
from maasloop.rpc.client import call
from maasloop.telemetry import metrics
from maasloop.testing.town import WAIT_S

from .conftest import COMMAND_KEYS, Doors

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

REFUSED = "Not authorized"
SUBACK_FAILURE = 0x80


def _refusals(reason: str) -> float:
    return metrics.value("maasloop_device_registry_connects_total", outcome=reason)


async def test_a_device_gets_in_with_its_own_credential_only(doors: Doors) -> None:
    """The right password under the right client id gets in; each other way is refused, counted, and says nothing."""
    issued = await doors.enrolled("lamp-1")
    other = await doors.enrolled("lamp-2")

    async with doors.mqtt(issued) as client:
        await client.publish("dev/v1/noord/lamp-1/up/observations-json", b"{}", qos=1, timeout=WAIT_S)

    for reason, changed in (
        ("proof-wrong", {"password": "mld_" + "x" * 43}),
        ("proof-wrong", {"password": other.password}),
        ("client-id-foreign", {"client_id": other.client_id}),
    ):
        before = _refusals(reason)
        with pytest.raises(aiomqtt.MqttError, match=REFUSED):
            async with doors.mqtt(issued, **changed):
                pass
        assert _refusals(reason) == before + 1


async def test_a_device_is_given_the_keys_of_commands(doors: Doors, tmp_path: Path) -> None:
    """They come with the credential, have ids and an end, and are told to whoever asks after a rotation."""
    issued = await doors.enrolled("lamp-1")
    given = VerificationKeys.parse(issued.command_keys.jwk_set)
    assert given.find(SigningKey.load(tmp_path / COMMAND_KEYS / SIGNING_KEY_FILE).id) is not None
    assert issued.command_keys.expire_time.seconds > issued.credential.create_time.seconds

    rotate_command_keys(tmp_path / COMMAND_KEYS)
    answer = await call(doors.credentials.FetchCommandKeys, pb.FetchCommandKeysRequest())
    told = VerificationKeys.parse(answer.jwk_set)
    assert (len(given.ids), told.ids[1:]) == (1, given.ids)

    (tmp_path / COMMAND_KEYS / VERIFICATION_KEYS_FILE).unlink()
    with pytest.raises(FailedPrecondition):
        await call(doors.credentials.FetchCommandKeys, pb.FetchCommandKeysRequest())
    assert not (await doors.enrolled("lamp-2")).HasField("command_keys")


async def test_who_fails_has_a_count_of_its_own(doors: Doors) -> None:
    """Refusals in the name of a device are counted with their reason; those of names that nobody has fill no table."""
    issued = await doors.enrolled("lamp-1")
    for user, password in ((issued.user_name, "mld_" + "x" * 43), ("noord/nobody", "x")) * 2:
        with pytest.raises(aiomqtt.MqttError, match=REFUSED):
            async with doors.town.mqtt(user, password):
                pass

    listing = pb.ListCredentialsRequest(parent="districts/noord/devices/lamp-1")
    async with asyncio.timeout(WAIT_S):
        while (found := (await call(doors.credentials.ListCredentials, listing)).refusals).count < 2:  # noqa: ASYNC110 - a table has no event
            await asyncio.sleep(0.1)
    assert (found.count, found.last_reason) == (2, "proof-wrong")
    assert found.hour_count in {1, 2}
    async with await psycopg.AsyncConnection.connect(doors.dsn) as connection:
        rows = await (await connection.execute("SELECT district, holder FROM device_registry.refusals")).fetchall()
    assert rows == [("noord", "lamp-1")]


async def test_who_is_refused_is_written_down(doors: Doors) -> None:
    """A refused client leaves an entry in the audit log: whose door it was and why, and nothing it brought."""
    issued = await doors.enrolled("lamp-1")
    with pytest.raises(aiomqtt.MqttError, match=REFUSED):
        async with doors.mqtt(issued, password="mld_" + "x" * 43):
            pass

    async with asyncio.timeout(WAIT_S), await psycopg.AsyncConnection.connect(doors.dsn, autocommit=True) as connection:
        while not (rows := await (await connection.execute("SELECT entry FROM audit.read(0, 10)")).fetchall()):  # noqa: ASYNC110 - a table has no event
            await asyncio.sleep(0.05)

    (entry,) = (decode(row[0]) for row in rows)
    assert (entry.verb, entry.actor, entry.reason) == (Verb.REFUSED, "nobody", "proof-wrong")
    assert entry.resource == "districts/noord/devices/lamp-1"


async def test_rights_end_at_the_own_subjects(doors: Doors) -> None:
    """A device hears its own downlink and that of the lamp it speaks for, and no other; no foreign uplink leaves it."""
    cabinet = await doors.enrolled("cabinet")
    await doors.device("lamp-1", gateway="cabinet")
    foreign = await doors.enrolled("lamp-2")
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: object) -> None:
        await heard.put(str(getattr(message, "subject", "")))

    async with (
        doors.town.connected("operator") as operator,
        doors.mqtt(cabinet) as client,
        doors.mqtt(foreign) as other,
    ):
        await operator.listen("dev.v1.*.*.up.>", hear)
        await operator.check()
        for device, allowed in (("cabinet", True), ("lamp-1", True), ("lamp-2", False), ("+", False)):
            assert await _granted(client, f"dev/v1/noord/{device}/down/commands") is allowed, device
        assert not await _granted(client, "#")
        for topic in ("dev/v1/noord/lamp-1/up/x", "dev/v1/noord/*/up/x", "$JS/API/INFO", "dev/v1/zuid/cabinet/up/x"):
            await client.publish(topic, b"foreign", timeout=WAIT_S)
        await client.publish("dev/v1/noord/cabinet/up/x", b"own", timeout=WAIT_S)
        await other.publish("dev/v1/noord/lamp-2/up/x", b"own", timeout=WAIT_S)
        first = {await asyncio.wait_for(heard.get(), WAIT_S) for _ in range(2)}
        assert first == {"dev.v1.noord.cabinet.up.x", "dev.v1.noord.lamp-2.up.x"}
        assert heard.empty()


async def test_an_nkey_never_leaves_its_device(doors: Doors) -> None:
    """Over NATS a device signs with its own key; another key, and the same one over a name, is refused."""
    name = await doors.device("lamp-1")
    key, stranger = KeyPair.generate(Role.USER), KeyPair.generate(Role.USER)
    await doors.enrol(name, nkey=key.public_key)

    async def connected(pair: KeyPair) -> Client:
        return await nats.connect(
            doors.town.server.url,
            tls=doors.town.tls_context(),
            nkeys_seed_str=pair.seed,
            allow_reconnect=False,
            connect_timeout=WAIT_S,
        )

    client = await connected(key)
    await client.publish("dev.v1.noord.lamp-1.up.observations-json", b"{}")
    await client.flush(WAIT_S)
    await client.close()
    with pytest.raises(NatsError):
        await connected(stranger)


async def test_a_claim_is_good_once_and_for_what_it_says(doors: Doors) -> None:
    """Used, foreign and unknown claims are refused alike; one for a device renews what that device has."""
    first, second = await doors.device("lamp-1"), await doors.device("lamp-2")
    (claim,) = await doors.claims()
    bound, *_ = await doors.claims(0, devices=["lamp-1"])
    await doors.enrol(first, claim)

    (fresh,) = await doors.claims()
    for name, tried in ((second, claim), (second, bound), (first, fresh), (second, "mlc_" + "x" * 43)):
        with pytest.raises(Unauthenticated) as refused:
            await doors.enrol(name, tried)
        assert refused.value.reason == "CLAIM_INVALID"
    await doors.enrol(first, bound)


async def test_there_is_no_claim_for_what_does_not_exist(doors: Doors) -> None:
    """A device that was not registered, or a district, is named at once and not only when somebody enrols."""
    await doors.device("lamp-1")
    with pytest.raises(NotFound, match="districts/noord/devices/lamp-7"):
        await doors.claims(0, devices=["lamp-1", "lamp-7"])
    nowhere = pb.GenerateEnrolmentClaimsRequest(parent="districts/nowhere", count=1)
    with pytest.raises(NotFound, match="districts/nowhere"):
        await call(doors.credentials.GenerateEnrolmentClaims, nowhere)


async def test_a_batch_enrols_at_its_rate(doors: Doors) -> None:
    """The third enrolment in a minute of a batch of two a minute waits."""
    claims = await doors.claims(3, rate_per_minute=2)
    for number in range(2):
        await doors.enrol(await doors.device(f"lamp-{number}"), claims[number])

    with pytest.raises(ResourceExhausted) as refused:
        await doors.enrol(await doors.device("lamp-2"), claims[2])
    assert refused.value.reason == "RATE_LIMITED"


async def test_a_rotated_password_holds_for_the_overlap(doors: Doors) -> None:
    """Both get in until the overlap ends; then the old one's connection is closed and it is refused."""
    issued = await doors.enrolled("lamp-1")
    name = "districts/noord/devices/lamp-1"
    request = pb.RotateCredentialRequest(name=name, password=issued.password)
    rotated = await call(doors.credentials.RotateCredential, request)
    for each in (issued, rotated):
        async with doors.mqtt(each):
            pass

    request = pb.RotateCredentialRequest(name=name, password=rotated.password)
    request.overlap.seconds = 0
    async with doors.mqtt(rotated) as client:
        latest = await call(doors.credentials.RotateCredential, request)
        await _closed(client)
    with pytest.raises(aiomqtt.MqttError, match=REFUSED):
        async with doors.mqtt(rotated):
            pass
    async with doors.mqtt(latest):
        pass
    with pytest.raises(Unauthenticated):
        await call(doors.credentials.RotateCredential, request)


async def test_quarantine_closes_and_release_opens(doors: Doors) -> None:
    """A device in quarantine is thrown out, refused and gets no credential; released, its credential holds again."""
    issued = await doors.enrolled("lamp-1")
    name = "districts/noord/devices/lamp-1"
    async with doors.mqtt(issued) as client:
        await call(doors.credentials.QuarantineDevice, pb.QuarantineDeviceRequest(name=name))
        await _closed(client)
    with pytest.raises(aiomqtt.MqttError, match=REFUSED):
        async with doors.mqtt(issued):
            pass
    (claim,) = await doors.claims(0, devices=["lamp-1"])
    with pytest.raises(FailedPrecondition):
        await doors.enrol(name, claim)

    await call(doors.credentials.ReleaseDevice, pb.ReleaseDeviceRequest(name=name))
    async with doors.mqtt(issued):
        pass


async def _granted(client: aiomqtt.Client, topic: str) -> bool:
    (code,) = await client.subscribe(topic, timeout=WAIT_S)
    return (code if isinstance(code, int) else code.value) < SUBACK_FAILURE


async def _closed(client: aiomqtt.Client) -> None:
    """Wait until the server has closed the connection."""
    with pytest.raises(aiomqtt.MqttError):
        await asyncio.wait_for(anext(aiter(client.messages)), WAIT_S)
