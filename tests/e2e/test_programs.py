"""A program gets in at every service of a running stack by its key, sees its district, and is out when the key is revoked."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from maasloop.api.command.v1 import command_service_pb2, command_service_pb2_grpc
from maasloop.api.consent.v1 import consent_service_pb2, consent_service_pb2_grpc
from maasloop.api.device.v1 import access_service_pb2 as access
from maasloop.api.device.v1 import access_service_pb2_grpc, device_service_pb2, device_service_pb2_grpc
from maasloop.api.notification.v1 import notification_service_pb2, notification_service_pb2_grpc
from maasloop.api.observation.v1 import (
    ingest_service_pb2,
    ingest_service_pb2_grpc,
    series_service_pb2,
    series_service_pb2_grpc,
)
from maasloop.rpc import client
from maasloop.stack.local import LocalStack

pytestmark = pytest.mark.e2e

TIMEOUT_S = 60.0
MAASLOOP = Path(sys.executable).with_name("maasloop")
ROLES = ("operator", "privacy-officer")


class Question(NamedTuple):
    """A call of one service about a district, or about nothing that has one."""

    service: str
    stub: Callable[[grpc.aio.Channel], Any]
    method: str
    about: Callable[[str], Message]


QUESTIONS = (
    Question(
        "device-registry",
        device_service_pb2_grpc.DeviceServiceStub,
        "ListDevices",
        lambda district: device_service_pb2.ListDevicesRequest(parent=district),
    ),
    Question(
        "timeseries",
        series_service_pb2_grpc.SeriesServiceStub,
        "GetCustodyBalance",
        lambda district: series_service_pb2.GetCustodyBalanceRequest(parent=district),
    ),
    Question(
        "actuation",
        command_service_pb2_grpc.CommandServiceStub,
        "ListCommands",
        lambda district: command_service_pb2.ListCommandsRequest(parent=district),
    ),
    Question(
        "notification",
        notification_service_pb2_grpc.NotificationServiceStub,
        "ListAlerts",
        lambda district: notification_service_pb2.ListAlertsRequest(parent=district),
    ),
    Question(
        "ingest",
        ingest_service_pb2_grpc.IngestServiceStub,
        "ListQuarantine",
        lambda district: ingest_service_pb2.ListQuarantineRequest(parent=district),
    ),
    Question(
        "consent",
        consent_service_pb2_grpc.ConsentServiceStub,
        "ListProcessingActivities",
        lambda _district: consent_service_pb2.ListProcessingActivitiesRequest(),
    ),
)


def _open(stack: LocalStack, service: str) -> grpc.aio.Channel:
    """Open a channel as a program does that trusts the city's authority and has no certificate."""
    assert stack.certificates is not None
    trusted = grpc.ssl_channel_credentials(stack.certificates.operator.authority.read_bytes())
    return grpc.aio.secure_channel(stack.addresses[service].public, trusted)


async def _code(stack: LocalStack, question: Question, token: str, district: str = "noord") -> str:
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    async with _open(stack, question.service) as channel:
        method = getattr(question.stub(channel), question.method)
        try:
            await method(question.about(f"districts/{district}"), metadata=metadata, timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            return error.code().name
    return "OK"


async def _until(stack: LocalStack, question: Question, token: str, code: str) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while await _code(stack, question, token) != code:  # noqa: ASYNC110 - another process is asked
            await asyncio.sleep(0.1)


async def test_a_program_gets_in_and_is_thrown_out(shared_stack: LocalStack) -> None:
    """Without a token nobody is let in anywhere; with one, its district is shown and no other; revoked, it is out."""
    stack = shared_stack
    grants = [access.RoleGrant(role=role, districts=["noord"]) for role in ROLES]
    async with stack.channel("device-registry") as channel:
        operator = access_service_pb2_grpc.AccessServiceStub(channel)
        key = access.ApiKey(program="weather-app", grants=grants)
        made = await client.call(
            operator.GenerateApiKey, access.GenerateApiKeyRequest(api_key=key, ttl=Duration(seconds=3600))
        )
        async with _open(stack, "device-registry") as public:
            program = access_service_pb2_grpc.AccessServiceStub(public)
            answer = await client.call(program.ExchangeApiKey, access.ExchangeApiKeyRequest(secret=made.secret))
        token = answer.access_token
        for question in QUESTIONS:
            assert await _code(stack, question, "") == "UNAUTHENTICATED", question.service
            await _until(stack, question, token, "OK")
            foreign = await _code(stack, question, token, "zuid")
            assert foreign == ("OK" if question.service == "consent" else "PERMISSION_DENIED"), question.service
        await client.call(operator.RevokeApiKey, access.RevokeApiKeyRequest(name=made.api_key.name))
        for question in QUESTIONS:
            await _until(stack, question, token, "UNAUTHENTICATED")


async def _maasloop(root: Path, *arguments: str) -> str:
    """Run the command line of a checkout and return what it says, with its status if that is not 0."""
    command = [str(MAASLOOP), "--root", str(root), *arguments]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    out, error = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    return out.decode() if not process.returncode else f"{process.returncode} {error.decode()}"


@pytest.mark.timeout(180)
async def test_a_program_uses_the_command_line(shared_stack: LocalStack, tmp_path: Path) -> None:
    """Signed in by a key it sees its district, with another token when one ends, and nothing after the key is revoked."""
    stack, key_file = shared_stack, tmp_path / "weather.key"
    assert stack.certificates is not None
    root = stack.directory.root
    made = ("access", "create-key", "weather-cli", "--role", "operator", "--district", "noord")
    told = await _maasloop(root, *made, "--secret-file", str(key_file), "--json")
    assert (key_file.stat().st_mode & 0o777, "mlk_" in told) == (0o600, False)
    there = ("--address", f"device-registry={stack.addresses['device-registry'].public}")
    trusted = ("--services-ca-file", str(stack.certificates.operator.authority))
    signed_in = await _maasloop(tmp_path, *there, "login", "--api-key-file", str(key_file), *trusted)
    assert "and on by itself" in signed_in

    listing = ("devices", "list", "noord", "--json")
    assert isinstance(json.loads(await _maasloop(tmp_path, *listing)), list)
    assert "PERMISSION_MISSING" in await _maasloop(tmp_path, "devices", "list", "zuid")
    kept = tmp_path / ".maasloop" / "secrets" / "login.json"
    first = json.loads(kept.read_bytes())
    assert key_file.read_text().strip() not in first.values()
    kept.write_text(json.dumps({**first, "expire_time": "2020-01-01T00:00:00+00:00"}))
    assert isinstance(json.loads(await _maasloop(tmp_path, *listing)), list)
    assert json.loads(kept.read_bytes())["access_token"] != first["access_token"]

    await _maasloop(root, "access", "revoke-key", json.loads(told)["apiKey"]["name"])
    async with asyncio.timeout(TIMEOUT_S):
        while "CREDENTIALS_REVOKED" not in await _maasloop(tmp_path, *listing):
            pass
    assert "CREDENTIALS_REVOKED" in await _maasloop(
        tmp_path, *there, "login", "--api-key-file", str(key_file), *trusted
    )
    assert "for persons" in await _maasloop(tmp_path, "login", "--step-up")
