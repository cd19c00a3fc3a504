"""A real server with the city's accounts, and credentials for every kind of principal and for observers of each account."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.security.oracle import model
from tests.security.oracle.model import Principal
from tests.security.oracle.wire import NatsWire

from maasloop.bus import rights
from maasloop.bus.city import BOTH, City, CityUser
from maasloop.bus.device_rights import device_rights
from maasloop.bus.tenants import Tenant
from maasloop.core.clock import SystemClock
from maasloop.identity.certificates import DevelopmentCertificates, Holder
from maasloop.identity.nats.claims import Rights, User
from maasloop.identity.nats.credentials import read_credentials
from maasloop.stack.servers.nats import NatsIdentities, NatsServer

ROOT = Path(".maasloop/security")
DISTRICTS = {model.DEVICES: ("noord", "zuid"), model.OTHER: ("haven", "noord")}
"""Of the devices of each account; those of ``noord`` in the other one were placed there wrongly."""
LAMPS = ("lamp-1", "lamp-2", "signal-1")
INTEGRATORS = ("tram", "weather")
OBSERVED = (
    model.CORE,
    model.DOWNLINK,
    model.DEVICES,
    model.OTHER,
    model.AUDIT,
    *(f"INTEGRATOR-{name}" for name in INTEGRATORS),
)
"""Accounts in which somebody hears everything."""
EVERYTHING = Rights((">",), (">",))
SERVER_LOG_BYTES = 32 * 1024 * 1024


def device_user(district: str, name: str, *, wildcard: bool = False) -> User:
    """Return what a device gets; with ``wildcard`` the sabotage: its own identity is not in its rights."""
    allowed = Rights(("dev.v1.*.*.up.>",), ("dev.v1.*.*.down.>",)) if wildcard else device_rights(district, name)
    return User(allowed, connection_types=BOTH, bearer=True)


@dataclass(frozen=True, slots=True)
class Town:
    """The running server."""

    city: City
    server: NatsServer
    authority: Path

    def wire(self, name: str) -> NatsWire:
        """Connect over NATS."""
        return NatsWire(("127.0.0.1", self.server.ports.client), self.city.credentials(name), self.authority)

    def token(self, name: str) -> str:
        """Return the token of a user, which MQTT shows as its password."""
        return read_credentials(self.city.credentials(name).read_text(encoding="utf-8"))[0]


def user_name(who: Principal) -> str:
    """Return under which name a principal's credentials are kept."""
    if who.kind == "integrator":
        return f"integrator-{who.name}"
    return f"{who.account}-{who.district}-{who.name}" if who.kind == "device" else who.name


def principals() -> list[Principal]:
    """Return everybody."""
    devices = [
        Principal("device", name, account, district)
        for account in (model.DEVICES, model.OTHER)
        for district in DISTRICTS[account]
        for name in LAMPS
    ]
    services = [Principal("service", name, model.CORE) for name in model.SERVICES]
    helpers = [Principal("helper", name, model.CORE) for name in (rights.OPERATOR, rights.ENSURE)]
    helpers.append(Principal("helper", rights.ENSURE_DEVICES, model.DEVICES))
    helpers.append(Principal("helper", "ensure-devices-elsewhere", model.OTHER))
    helpers += [Principal("helper", name, "SYS") for name in (rights.REVOKER, rights.ACCOUNTS)]
    helpers.append(Principal("helper", rights.DOWNLINK, model.DOWNLINK))
    helpers += [Principal("helper", rights.CALLOUT, "AUTH"), Principal("helper", rights.WITNESS, model.AUDIT)]
    integrators = [Principal("integrator", name, f"INTEGRATOR-{name}") for name in INTEGRATORS]
    return [*devices, *services, *helpers, *integrators]


@contextmanager
def town(*, wildcard: bool = False) -> Iterator[Town]:
    """Start a server with everybody's credentials."""
    ROOT.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="town-", dir=ROOT) as scratch:
        root = Path(scratch).resolve()
        clock = SystemClock()
        city = City(root / "identities", clock)
        city.declare([Tenant("city", ("noord", "zuid")), Tenant("elsewhere", ("haven", "kade"))])
        city.ensure()
        for name in INTEGRATORS:
            city.add_integrator(name)
        for who in principals():
            if who.kind == "device":
                city.write_user(
                    CityUser(user_name(who), who.account, device_user(who.district, who.name, wildcard=wildcard))
                )
        for account in OBSERVED:
            city.write_user(
                CityUser(f"observer-{account}", account, User(EVERYTHING, connection_types=BOTH, bearer=True))
            )
        certificates = DevelopmentCertificates(root / "tls", clock)
        certificates.ensure([Holder("nats")])
        files = certificates.files("nats")
        log = f"\nlogfile_size_limit: {SERVER_LOG_BYTES}\n"
        server = NatsServer(root / "nats", identities=NatsIdentities(city, files), extra_configuration=log)
        server.start()
        try:
            yield Town(city, server, files.authority)
        finally:
            server.stop()
