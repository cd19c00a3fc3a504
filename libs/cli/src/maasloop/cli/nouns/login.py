"""``maasloop login | logout``: sign in at the city's identity provider, in a browser, or as a program by its API key."""

from __future__ import annotations

import asyncio
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl, urlsplit

import typer

from maasloop.cli.addresses import Addresses
from maasloop.cli.calling import running
from maasloop.cli.printing import say
from maasloop.core.clock import SystemClock
from maasloop.core.errors import Unauthenticated

if TYPE_CHECKING:
    from maasloop.cli.login_file import Login
    from maasloop.identity.provider import StepUp

PATIENCE_S = 300.0
REQUEST_BYTES_MAX = 16 * 1024
CLIENT_ID = "maasloop-cli"
_PAGE = "<!doctype html><title>Maasloop</title><p>{}</p><p>You may close this page.</p>\n"


def login(
    context: typer.Context,
    issuer: Annotated[
        str,
        typer.Option(envvar="MAASLOOP_CLI__PROVIDER_ISSUER", help="Issuer of the provider, https://…; the last one's."),
    ] = "",
    client_id: Annotated[str, typer.Option(help=f"Id by which the provider knows this command; {CLIENT_ID}.")] = "",
    ca_file: Annotated[Path | None, typer.Option(help="Authority (PEM) that vouches for the provider.")] = None,
    services_ca_file: Annotated[
        Path | None, typer.Option(help="Authority (PEM) that vouches for the services at the addresses given.")
    ] = None,
    scope: Annotated[str, typer.Option(help="What the provider is asked for.")] = "",
    *,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            envvar="MAASLOOP_CLI__API_KEY_FILE",
            help="File of an API key (maasloop access create-key): sign in as that program, without a provider.",
        ),
    ] = None,
    step_up: Annotated[bool, typer.Option("--step-up", help="Prove anew who you are; some calls want that.")] = False,
    acr_values: Annotated[str, typer.Option(help="What the proof must be, where a refusal says so.")] = "",
    browser: Annotated[bool, typer.Option(help="Open a browser; the address is printed in any case.")] = True,
) -> None:
    """Sign in as a person or a program; what follows here calls as you. It is kept in .maasloop/secrets, readable by nobody else.

    Addresses given before it (--address) are kept too.
    """
    from maasloop.cli.login_file import Login
    from maasloop.identity.provider import SCOPE, StepUp
    from maasloop.identity.token_keys import require_private

    addresses: Addresses = context.obj
    try:
        last = Login.read(addresses.root) or Login()
    except Unauthenticated:
        last = Login()
    services = Login(
        services={**last.services, **addresses.services},
        services_ca_file=_named(services_ca_file) or last.services_ca_file,
    )
    key_file = _named(api_key_file) or ("" if issuer else last.api_key_file)
    if key_file:
        if step_up or acr_values:
            raise typer.BadParameter(
                "what wants a fresh proof is for persons, not for programs", param_hint="--step-up"
            )
        running(_exchange(addresses, replace(services, api_key_file=key_file)))
        return
    wanted = replace(
        services,
        issuer=issuer or last.issuer,
        client_id=client_id or last.client_id or CLIENT_ID,
        provider_ca_file=_named(ca_file) or last.provider_ca_file,
        scope=scope or last.scope or SCOPE,
    )
    if not wanted.issuer:
        raise typer.BadParameter("name the provider: --issuer https://…", param_hint="--issuer")
    try:
        require_private(wanted.issuer)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--issuer") from None
    running(_login(addresses.root, wanted, StepUp(acr_values) if step_up or acr_values else None, browser=browser))


def logout(context: typer.Context) -> None:
    """Sign out here: the token is deleted. The provider's own session ends in its browser."""
    from maasloop.cli.login_file import forget

    addresses: Addresses = context.obj
    say("signed out" if forget(addresses.root) else "nobody was signed in")


async def _login(root: Path, wanted: Login, step_up: StepUp | None, *, browser: bool) -> None:
    from maasloop.identity.provider import Endpoints, SigningIn, fetching

    authority = Path(wanted.provider_ca_file) if wanted.provider_ca_file else None
    endpoints = await Endpoints.of(wanted.issuer, fetching(authority))
    answers: asyncio.Queue[dict[str, str]] = asyncio.Queue(1)
    server = await asyncio.start_server(lambda reader, writer: _answer(reader, writer, answers), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        redirect_uri = f"http://127.0.0.1:{port}/callback"
        attempt = SigningIn(endpoints, wanted.client_id, redirect_uri, wanted.scope, step_up)
        typer.echo(f"sign in at {attempt.url}")
        if browser:
            webbrowser.open(attempt.url)
        async with asyncio.timeout(PATIENCE_S):
            code = attempt.code(await answers.get())
    _keep(root, wanted.given(await attempt.redeem(code, authority), SystemClock()))


async def _exchange(addresses: Addresses, wanted: Login) -> None:
    from maasloop.cli.signed_in import exchanged

    _keep(addresses.root, await exchanged(addresses, wanted))


def _keep(root: Path, signed_in: Login) -> None:
    signed_in.write(root)
    typer.echo(f"signed in until {signed_in.expire_time}{', and on by itself' if signed_in.goes_on else ''}")


def _named(path: Path | None) -> str:
    return str(path.resolve()) if path else ""


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
