"""``maasloop login``: sign in at the city's identity provider, in a browser."""

from __future__ import annotations

import asyncio
import json
import webbrowser
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

import typer

from maasloop.cli.addresses import Addresses
from maasloop.cli.calling import running
from maasloop.core.clock import SystemClock

LOGIN_FILE = "login.json"
PATIENCE_S = 300.0
REQUEST_BYTES_MAX = 16 * 1024
CLIENT_ID = "maasloop-cli"
_PAGE = "<!doctype html><title>Maasloop</title><p>{}</p><p>You may close this page.</p>\n"


def login(
    context: typer.Context,
    issuer: Annotated[
        str, typer.Option(envvar="MAASLOOP_CLI__PROVIDER_ISSUER", help="Issuer of the provider: https://…")
    ],
    client_id: Annotated[str, typer.Option(help="Id under which the provider knows this command.")] = CLIENT_ID,
    ca_file: Annotated[Path | None, typer.Option(help="Authority (PEM) that vouches for the provider.")] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser; the address is printed in any case.")] = True,
) -> None:
    """Sign in as a person. The token is kept in ``.maasloop/secrets/login.json``, readable by nobody else."""
    addresses: Addresses = context.obj
    place = addresses.root / ".maasloop" / "secrets"
    running(_login(place, issuer, client_id, ca_file, browser=browser))


async def _login(place: Path, issuer: str, client_id: str, ca_file: Path | None, *, browser: bool) -> None:
    from maasloop.identity.provider import Endpoints, SigningIn, fetching
    from maasloop.identity.secret_files import secret_directory, write_secret

    endpoints = await Endpoints.of(issuer, fetching(ca_file))
    answers: asyncio.Queue[dict[str, str]] = asyncio.Queue(1)
    server = await asyncio.start_server(lambda reader, writer: _answer(reader, writer, answers), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        attempt = SigningIn(endpoints, client_id, f"http://127.0.0.1:{port}/callback")
        typer.echo(f"sign in at {attempt.url}")
        if browser:
            webbrowser.open(attempt.url)
        async with asyncio.timeout(PATIENCE_S):
            code = attempt.code(await answers.get())
    token, lifetime_s = await attempt.redeem(code, ca_file)
    expire_time = SystemClock().now() + timedelta(seconds=lifetime_s)
    kept = {"issuer": issuer, "access_token": token, "expire_time": expire_time.isoformat(timespec="seconds")}
    write_secret(secret_directory(place) / LOGIN_FILE, json.dumps(kept).encode())
    typer.echo(f"signed in until {kept['expire_time']}")


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: asyncio.Queue[dict[str, str]]
) -> None:
    """Take the one request that the provider sends the browser back with; anything else is told that it is not."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            line = (
                (await reader.readuntil(b"\r\n\r\n"))[:REQUEST_BYTES_MAX]
                .split(b"\r\n", 1)[0]
                .decode("ascii", "replace")
            )
        target = urlsplit(line.split(" ")[1] if line.count(" ") else "/")
        known = target.path == "/callback" and not answers.full()
        if known:
            answers.put_nowait(dict(parse_qsl(target.query)))
        page = _PAGE.format("The terminal has your answer." if known else "There is nothing here.")
        status = "200 OK" if known else "404 Not Found"
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\nConnection: close\r\n\r\n"
        )
        writer.write((head + page).encode())
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
        pass
    finally:
        writer.close()
