"""``maasloop rsmp-supervisor`` as a process: it hears a site, prints what it hears, and ends when told."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from maasloop.cli.nouns.rsmp_supervisor import read_settings
from maasloop.core.clock import SystemClock
from maasloop.rsmp.dialect import Release
from maasloop.rsmp.errors import SheetInvalid
from maasloop.rsmp.exchange_list import tlc
from maasloop.rsmp.site import SiteIdentity
from maasloop.rsmp.site_state import SiteState
from maasloop.rsmp.transport import SiteClient, TransportSettings
from rsmp_link import CONTROLLER, SITE, Cabinet

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "rsmp-supervisor.yaml"
SUPERVISE = "from maasloop.cli.main import run; run()"


async def _line(process: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while True:
            found: dict[str, Any] = json.loads(await process.stdout.readline())
            if found["event"] == event:
                return found


@pytest.mark.parametrize("listed", ["1.0.15", "1.2.1"])
async def test_a_site_of_the_example_is_heard(listed: str) -> None:
    """A site with a list version of the example connects and tells its statuses; SIGTERM ends the process in order."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISE, "rsmp-supervisor", "--port", "0", "--settings", str(EXAMPLE), "--json",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        port = (await _line(process, "listening"))["port"]
        state = SiteState(Cabinet(), tlc(Release.parse(listed)))
        site = SiteClient(SiteIdentity((SITE,), listed), state, lambda _: None, SystemClock(), TransportSettings())
        running = asyncio.create_task(site.run("127.0.0.1", port))
        established = await _line(process, "established")
        status = await _line(process, "status")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    finally:
        if process.returncode is None:
            process.kill()

    assert (established["site"], established["core"], established["list"]) == (SITE, "3.2.2", listed)
    assert status["component"] == CONTROLLER
    assert status["values"]


def test_without_settings_the_public_suite_is_served() -> None:
    """The id that the public suite uses is known, with every version."""
    (site,) = read_settings(None).sites

    assert site.site_ids == (SITE,)
    assert Release.parse("1.0.15") in site.list_releases


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("sites: []", "sites"),
        ("sites: [{site_ids: [A]}]", "controller"),
        ("sites: [{site_ids: [A], controller: TC}]\ntimes: {watchdog: 1}", "times"),
        ("sites: [{site_ids: [A], controller: TC}]\ntls: {key: a}", "tls"),
        ("sites: [{site_ids: [A], controller: TC}]\nport: high", "port"),
        ("sites: [{site_ids: [A], controller: TC}]\ncolour: red", "colour"),
        ("sites: [{site_ids: [A], controller: TC}]\n1: 2\ncolour: red", "1"),
        ("sites: [{site_ids: [A], controller: TC, 1: 2}]", "1"),
        ("sites: [{site_ids: [A], controller: TC}]\nport: true", "port"),
        ("sites: [{site_ids: [A], controller: TC}]\ntimes: {silence_s: .nan}", "times"),
        ("sites: [{site_ids: [A], controller: TC}, {site_ids: [B, A], controller: TC}]", "site_ids"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, key: str) -> None:
    """A key that is missing or wrong is the beginning of the reason."""
    file = tmp_path / "settings.yaml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(SheetInvalid) as refused:
        read_settings(file)

    assert refused.value.reason.startswith(f"{key}:")


@pytest.mark.parametrize(
    ("content", "problem"), [(b"\xff\xfe", "is not YAML"), (b"{", "is not YAML"), (None, "No such file")]
)
def test_settings_that_cannot_be_read_are_told(
    maasloop: Any, tmp_path: Path, content: bytes | None, problem: str
) -> None:
    """The sentence names the file, and nothing listens."""
    file = tmp_path / "settings.yaml"
    if content is not None:
        file.write_bytes(content)

    ended = maasloop("rsmp-supervisor", "--port", "0", "--settings", str(file))

    assert ended.status == 2
    assert ended.error.count("\n") == 1
    assert str(file) in ended.error
    assert problem in ended.error
