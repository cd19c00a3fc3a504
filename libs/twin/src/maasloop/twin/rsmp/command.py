"""``maasloop twin rsmp-site``: a traffic light controller that speaks RSMP."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import ssl

    from maasloop.twin.rsmp.sheet import SiteSheet
    from maasloop.twin.rsmp.simulator import Happening, SiteSimulator

PORTS = range(1, 65_536)


def add_to(app: typer.Typer) -> None:
    """Add the commands of the twin to the CLI."""
    twin = typer.Typer(help="Parts of the twin, each by itself.", no_args_is_help=True)
    twin.command("rsmp-site")(rsmp_site)
    # A second command is what makes a group of it; without, typer would leave the name out.
    twin.callback()(lambda: None)
    app.add_typer(twin, name="twin")


def rsmp_site(
    sheet: Annotated[Path, typer.Option(help="Data sheet of the site, YAML; examples/rsmp-site.yaml is one.")],
    supervisor: Annotated[str, typer.Option(help="HOST:PORT of the supervisor.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Tell what happens as JSON, one object a line.")] = False,
    exchange_list: Annotated[
        str, typer.Option("--list", help="Offer only this one of the sheet's exchange lists, by its name or version.")
    ] = "",
    core: Annotated[list[str] | None, typer.Option(help="Speak only this core version; more than once.")] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="Certificate of the site; TLS 1.3.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    tls_authority: Annotated[Path | None, typer.Option(help="Authority of the supervisor's certificate.")] = None,
) -> None:
    """Be a traffic light controller without a street, and speak RSMP to a supervisor until stopped."""
    from maasloop.core.clock import SystemClock
    from maasloop.rsmp.errors import RsmpError
    from maasloop.twin.rsmp.secret import read_codes
    from maasloop.twin.rsmp.sheet import SheetInvalid
    from maasloop.twin.rsmp.simulator import SiteSimulator

    host, port = _address(supervisor)
    try:
        told = _chosen(sheet, exchange_list, core or [])
        codes = read_codes(told.security_codes.items(), sheet.parent)
        tls = _tls(tls_certificate, tls_key, tls_authority)
    except (SheetInvalid, RsmpError, OSError) as error:
        sys.stderr.write(f"maasloop: {error}\n")
        raise typer.Exit(1) from None
    tell = _tell_as_json if as_json else _tell
    asyncio.run(_until_signalled(SiteSimulator(told, codes, SystemClock(), tell), host, port, tls))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) not in PORTS:
        raise typer.BadParameter(f"HOST:PORT is expected, got {text!r}", param_hint="--supervisor")
    return host.strip("[]"), int(port)


def _chosen(path: Path, exchange_list: str, cores: list[str]) -> "SiteSheet":
    """Read the sheet, and leave of its versions what was asked for."""
    from maasloop.rsmp.dialect import Release
    from maasloop.rsmp.errors import RsmpError
    from maasloop.twin.rsmp.sheet import SheetInvalid, read_sheet

    sheet = read_sheet(path)
    try:
        lists = [each for each in sheet.exchange_lists if exchange_list in {"", each.name or each.version}]
        lists = lists or [each for each in sheet.exchange_lists if each.release == Release.parse(exchange_list)]
        wanted = {Release.parse(each) for each in cores}
    except RsmpError as error:
        raise SheetInvalid(error.reason) from None
    spoken = [each for each in sheet.core_versions if not wanted or Release.parse(each) in wanted]
    if not lists or not spoken:
        raise SheetInvalid(f"{path} has no exchange list {exchange_list}" if not lists else f"{path} has no such core")
    return sheet.model_copy(update={"exchange_lists": tuple(lists), "core_versions": tuple(spoken)})


def _tls(certificate: Path | None, key: Path | None, authority: Path | None) -> "ssl.SSLContext | None":
    from maasloop.rsmp.tls import site_context

    if certificate is None and key is None and authority is None:
        return None
    if certificate is None or key is None or authority is None:
        raise typer.BadParameter("TLS needs certificate, key and authority", param_hint="--tls-certificate")
    return site_context(certificate, key, authority)


async def _until_signalled(site: "SiteSimulator", host: str, port: int, tls: "ssl.SSLContext | None") -> None:
    """Run the site until SIGTERM or SIGINT."""
    running = asyncio.ensure_future(site.run(host, port, tls))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    await asyncio.wait([running])
    if not running.cancelled():
        running.result()


def _tell(happening: "Happening") -> None:
    sys.stdout.write(f"{happening.line()}\n")
    sys.stdout.flush()


def _tell_as_json(happening: "Happening") -> None:
    told = {"at": happening.at.isoformat(), "kind": happening.kind, **happening.details}
    sys.stdout.write(f"{json.dumps(told)}\n")
    sys.stdout.flush()
