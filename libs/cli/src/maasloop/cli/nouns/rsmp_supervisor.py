"""``maasloop rsmp-supervisor``: hear traffic light controllers over RSMP, without any service."""

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maasloop.cli.printing import print_json, say

if TYPE_CHECKING:
    import ssl

    from maasloop.rsmp.supervised import SupervisedSite
    from maasloop.rsmp.transport import TransportSettings

type Shown = dict[str, object]

HOST = "127.0.0.1"
KEYS = ("host", "port", "times", "tls", "sites")
PORT_MAX = 65_535
"""Of TCP (RFC 9293)."""
TIME_S_MAX = 86_400
"""Longest time-out or interval of a link."""
ANYBODY = {"site_ids": ["RN+SI0001"], "controller": "TC"}
"""The only site without settings: the id that the public test suite uses, with all versions."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says."""

    sites: tuple["SupervisedSite", ...]
    transport: "TransportSettings"
    host: str = HOST
    port: int | None = None
    tls: Mapping[str, str] = field(default_factory=dict)


def rsmp_supervisor(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0: any; 12111 without settings.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; the settings' by default.")] = "",
    settings: Annotated[
        Path | None, typer.Option(help="YAML like examples/rsmp-supervisor.yaml; without, RN+SI0001 is accepted.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")] = False,
) -> None:
    """Be the supervisor of RSMP sites: shake hands, subscribe, acknowledge, and print what is heard until SIGTERM."""
    from maasloop.rsmp.errors import SheetInvalid
    from maasloop.rsmp.transport import PORT

    try:
        known = read_settings(settings)
    except SheetInvalid as error:
        raise typer.BadParameter(error.reason) from None
    listen_port = next(each for each in (port, known.port, PORT) if each is not None)
    asyncio.run(_supervise(known, host or known.host, listen_port, as_json=as_json))


def read_settings(file: Path | None) -> Settings:
    """Read a settings file; ``SheetInvalid`` names the key that is wrong."""
    import yaml

    from maasloop.rsmp.errors import SheetInvalid
    from maasloop.rsmp.supervised import read_site
    from maasloop.rsmp.transport import TransportSettings

    if file is None:
        return Settings((read_site(ANYBODY),), TransportSettings())
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SheetInvalid(f"{file} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SheetInvalid(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict) or not isinstance(data.get("sites"), list) or not data["sites"]:
        raise SheetInvalid("sites: a list of at least one site is needed")
    if unknown := [key for key in data if key not in KEYS]:
        raise SheetInvalid(f"{unknown[0]}: this key is not known, only {', '.join(KEYS)}")
    if not all(isinstance(each, dict) for each in data["sites"]):
        raise SheetInvalid("sites: each site is a mapping")
    port = data.get("port")
    if port is not None and (type(port) is not int or not 0 <= port <= PORT_MAX):
        raise SheetInvalid(f"port: 0 to {PORT_MAX} is expected")
    sites = tuple(map(read_site, data["sites"]))
    ids = [site_id for site in sites for site_id in site.site_ids]
    if twice := [site_id for site_id in dict.fromkeys(ids) if ids.count(site_id) > 1]:
        raise SheetInvalid(f"site_ids: {twice[0]} is given twice")
    return Settings(sites, _times(data.get("times", {})), str(data.get("host", HOST)), port, _tls(data.get("tls", {})))


def _times(data: object) -> "TransportSettings":
    from maasloop.rsmp.errors import SheetInvalid
    from maasloop.rsmp.session import LinkSettings
    from maasloop.rsmp.transport import TransportSettings

    known = {each.name for each in fields(LinkSettings) if each.name.endswith("_s")}
    if not isinstance(data, dict) or not set(data) <= known:
        raise SheetInvalid(f"times: only {', '.join(sorted(known))} are known")
    if not all(type(each) in {int, float} and 0 < each <= TIME_S_MAX for each in data.values()):
        raise SheetInvalid(f"times: seconds above 0, at most {TIME_S_MAX}, are expected")
    return TransportSettings(link=LinkSettings(**data))


def _tls(data: object) -> Mapping[str, str]:
    from maasloop.rsmp.errors import SheetInvalid

    names = {"certificate", "key", "site_authority"}
    if not data:
        return {}
    if not isinstance(data, dict) or set(data) != names:
        raise SheetInvalid(f"tls: {', '.join(sorted(names))} are needed")
    return {name: str(path) for name, path in data.items()}


async def _supervise(settings: Settings, host: str, port: int, *, as_json: bool) -> None:
    from maasloop.cli.rsmp_events import shown
    from maasloop.core.clock import SystemClock
    from maasloop.rsmp.events import Event
    from maasloop.rsmp.supervising import Supervision

    clock = SystemClock()

    def tell(told: Shown) -> None:
        if as_json:
            print_json(told, line=True)
        else:
            say("  ".join([str(told["time"])[11:23], *(_cell(name, told[name]) for name in told if name != "time")]))

    def hear(site: "SupervisedSite | None", event: Event) -> None:
        head = {"time": clock.now().isoformat(timespec="milliseconds"), "site": site.site_ids[0] if site else ""}
        tell(head | shown(event))

    supervision = Supervision(hear, clock, settings.transport)
    for site in settings.sites:
        supervision.put(site)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    taken = await supervision.start(host, port, _context(settings.tls))
    try:
        tell({"time": clock.now().isoformat(timespec="milliseconds"), "site": "", "event": "listening",
              "host": taken[0], "port": taken[1]})  # fmt: skip
        await stop.wait()
    finally:
        await supervision.close()


def _context(tls: Mapping[str, str]) -> "ssl.SSLContext | None":
    from maasloop.rsmp.tls import supervisor_context

    if not tls:
        return None
    return supervisor_context(Path(tls["certificate"]), Path(tls["key"]), Path(tls["site_authority"]))


def _cell(name: str, value: object) -> str:
    text = str(value)
    return text if name in {"site", "event"} else f"{name}={text}"
