"""A whole Maasloop as children of this process: ``async with LocalStack(root) as stack``.

Used by the tests, the demo and ``make up``. Children are started from the main thread (see ``process``), so run it on
the main thread's event loop. Order of start: NATS and PostgreSQL, streams, all services at once (they wait for each
other by themselves). Order of stop: services, then servers.
"""

import asyncio
import contextlib
import http.client
import os
import ssl
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from maasloop.bus.city import City
from maasloop.bus.rights import DEVICES
from maasloop.core.clock import SystemClock
from maasloop.identity.tls import client_context
from maasloop.rpc.client import Peer, channel
from maasloop.stack.audit_keys import AuditFiles
from maasloop.stack.certificates import NATS, StackCertificates
from maasloop.stack.doors import MqttListener, token_of
from maasloop.stack.errors import StackError
from maasloop.stack.ports import configured_ports
from maasloop.stack.process import ManagedProcess
from maasloop.stack.recorder import keep_header, read_header, write_header
from maasloop.stack.secrets import ensure_secrets, recorder_header_file, token_signing_key_file
from maasloop.stack.servers.databases import DATABASE, SERVICES, create_service_database, role_name
from maasloop.stack.servers.nats import NatsIdentities, NatsPorts, NatsServer
from maasloop.stack.servers.provider import postgres_server
from maasloop.stack.services import LISTENERS, Neighbours, choose_addresses, module_name, service_environment
from maasloop.stack.state import OperatorFiles, StackState, StateDirectory
from maasloop.stack.streams import ensure_streams
from maasloop.stack.supervision import Supervisor

READY_TIMEOUT_S = 60.0
"""Longest start of one service."""
STOP_TIMEOUT_S = 15.0
"""What a process gets to end before it is killed."""
POLL_S = 0.05
"""Pause between two questions to a health port."""
PROBE_TIMEOUT_S = 1.0
"""Longest answer of a health port."""


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What may differ between a demo, ``make up`` and a test."""

    services: tuple[str, ...] = SERVICES
    """Services to start; none gives the two servers with streams and schemas."""

    restart: bool = True
    """Start again what exits by itself, and renew certificates; off where the stack outlives its event loop."""

    secure: bool = True
    """Everybody has an identity, and every link is TLS; without, for benches that compare."""

    ensure_streams: bool = True
    durable_initdb: bool = True
    """Off in tests: the first files of an empty database need not survive a power cut there."""

    modules: Mapping[str, str] = field(default_factory=dict)
    """Modules that are run in place of a service's own, for tests that sabotage one."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of every service, and stronger than what the stack sets."""

    progress: Callable[[str], None] | None = None
    """Told each step in a few words."""


class LocalStack:
    """NATS, PostgreSQL and the services of one checkout, as processes on loopback."""

    def __init__(self, root: Path, options: StackOptions | None = None) -> None:
        """Describe the stack; ``async with`` starts it."""
        self.directory = StateDirectory(root)
        self.options = options or StackOptions()
        self._clock = SystemClock()
        self._exit_stack = contextlib.AsyncExitStack()
        logs = self.directory.logs
        ports = configured_ports(LISTENERS)
        free = NatsPorts.free()
        nats_ports = NatsPorts(
            ports.get("nats", free.client), ports.get("mqtt", free.mqtt), ports.get("nats-monitor", free.monitor)
        )
        self.certificates = (
            StackCertificates(self.directory.secrets / "tls", self._clock) if self.options.secure else None
        )
        self.city = City(self.directory.secrets / "nats", self._clock)
        identities = NatsIdentities(self.city, self.certificates.files(NATS)) if self.certificates else None
        self.nats = NatsServer(self.directory.nats, ports=nats_ports, log_path=logs / "nats.log", identities=identities)
        self.postgres = postgres_server(
            self.directory,
            port=ports.get("postgres"),
            log_path=logs / "postgres.log",
            durable_initdb=self.options.durable_initdb,
            secure=self.options.secure,
        )
        self.addresses = choose_addresses(ports)
        self.neighbours = Neighbours(
            self.nats.url,
            self.service_dsns,
            self.addresses,
            self.directory.secrets,
            identities,
            self.certificates,
        )
        self.services = {
            service: ManagedProcess(
                service,
                [sys.executable, "-m", self.options.modules.get(service, module_name(service))],
                log_path=logs / f"{service}.log",
                environment=os.environ | service_environment(service, self.neighbours) | dict(self.options.environment),
            )
            for service in self.options.services
        }
        self._supervisor = Supervisor(
            self.processes,
            self._clock,
            self._note_restart,
            volumes={"nats": self.directory.nats, "postgres": self.directory.path / "postgres"},
            broken={"nats": self.nats.broken},
            told=self._tell,
        )
        self._supervision: asyncio.Task[None] | None = None

    def channel(self, service: str, *, options: Sequence[tuple[str, Any]] = ()) -> grpc.aio.Channel:
        """Return a channel to a service, called as the operator of this machine; it is closed as a context."""
        peer = Peer(service, self.certificates.operator) if self.certificates else None
        return channel(self.addresses[service].grpc, peer=peer, options=options)

    @property
    def http_url(self) -> str:
        """Address of ingest's HTTP door."""
        return f"http{'s' if self.certificates else ''}://{self.addresses['ingest'].http}"

    @property
    def http_headers(self) -> Mapping[str, str]:
        """What a request of that door needs: a token of this machine; nothing where nobody is identified."""
        return read_header(recorder_header_file(self.directory.secrets)) if self.certificates else {}

    @property
    def trust(self) -> ssl.SSLContext:
        """Whom a client without a certificate of its own believes here."""
        return (
            client_context(self.certificates.operator.authority) if self.certificates else ssl.create_default_context()
        )

    @property
    def processes(self) -> dict[str, ManagedProcess]:
        """Every process by name: ``nats``, ``postgres`` and the services."""
        return {"nats": self.nats.process, "postgres": self.postgres.process, **self.services}

    @property
    def service_dsns(self) -> dict[str, str]:
        """Connection string of each service's role."""
        return {service: self.postgres.dsn(DATABASE, role_name(service)) for service in SERVICES}

    @property
    def postgres_dsn(self) -> str:
        """Connection string of the superuser to the services' database."""
        return self.postgres.dsn(DATABASE)

    def state(self, *, ready: bool) -> StackState:
        """Return what ``stack.json`` says."""
        host, port = self.nats.mqtt_address
        files = self.certificates.operator if self.certificates else None
        return StackState(
            pid=os.getpid(),
            ready=ready,
            nats_url=self.nats.url,
            mqtt_host=host,
            mqtt_port=port,
            nats_monitor_url=self.nats.monitor_url,
            postgres_dsn=self.postgres_dsn,
            service_dsns=self.service_dsns,
            services={name: self.addresses[name] for name in self.services},
            pids={name: process.pid for name, process in self.processes.items() if process.alive},
            command_keys=str(self.directory.command_keys),
            nats_users=str(self.city.directory / "users") if self.certificates else "",
            ca_file=str(self.certificates.files(NATS).authority) if self.certificates else "",
            http_header_file=str(recorder_header_file(self.directory.secrets)) if self.certificates else "",
            operator=OperatorFiles(str(files.certificate), str(files.key), str(files.authority)) if files else None,
        )

    @property
    def mqtt(self) -> MqttListener:
        """How one user connects over MQTT who speaks for all devices, for tests and benches that enrol none."""
        listener = self.state(ready=True).mqtt_listener()
        if self.certificates is None:
            return listener
        return replace(listener, username=DEVICES, password=token_of(self.city.add_devices()))

    async def __aenter__(self) -> Self:
        """Start everything and return when every service is ready."""
        try:
            await self._start()
        except BaseException:
            await self._exit_stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        await self._exit_stack.aclose()

    async def _start(self) -> None:
        self._exit_stack.enter_context(self.directory.hold())
        ensure_secrets(self.directory.secrets)
        if self.certificates is not None:
            self.city.ensure()
            self.certificates.ensure()
            AuditFiles(self.directory.path).ensure(SERVICES)
            write_header(*self._recorder, self._clock)
        for log in self.directory.logs.glob("*.log"):
            if log.stem in self.processes:
                log.unlink()
        self._exit_stack.push_async_callback(self._stop)
        self._tell("starting NATS and PostgreSQL")
        self.nats.start()
        self.postgres.start()
        create_service_database(self.postgres.dsn(), self.postgres_dsn, passwords=self.postgres.passwords)
        if self.options.ensure_streams:
            self._tell("declaring streams")
            await self._ensure_streams()
        self.directory.write(self.state(ready=False))
        if self.services:
            self._tell(f"starting {len(self.services)} services")
        for process in self.services.values():
            process.start()
        for service in self.services:
            await self.wait_ready(service)
        self.directory.write(self.state(ready=True))
        if self.options.restart:
            self._supervise()

    async def _ensure_streams(self) -> None:
        await ensure_streams(self.nats)

    def _certified(self, names: list[str]) -> None:
        if NATS in names:
            self.nats.reload()
        self._tell(f"renewed the certificates of {', '.join(names)}")

    def _supervise(self) -> None:
        self._supervision = self._beside(self._supervisor.run(), "supervisor")
        if self.certificates is not None:
            _ = self._beside(self.certificates.renew(self._certified), "certificates")
            _ = self._beside(keep_header(*self._recorder, self._clock), "recorder")

    @property
    def _recorder(self) -> tuple[Path, Path]:
        secrets = self.directory.secrets
        return token_signing_key_file(secrets), recorder_header_file(secrets)

    def _beside(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something until the stack stops."""
        task = asyncio.create_task(work, name=name)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._exit_stack.push_async_callback(end)
        return task

    async def run(self) -> None:
        """Wait for ever; raise ``StackError`` (in a group) when a process is given up."""
        await (self._supervision or asyncio.Event().wait())

    async def wait_ready(self, service: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return when the service says that it is ready; raise when it, or one it may wait for, ends, or time runs out."""
        deadline_s = self._clock.monotonic_s() + timeout_s
        started = [name for name, process in self.services.items() if process.alive]
        while not await asyncio.to_thread(service_ready, self.addresses[service].health):
            ended = [] if self._supervision else [n for n in {service, *started} if not self.services[n].alive]
            late = self._clock.monotonic_s() > deadline_s
            if late or ended:
                # Who waits for a neighbour has nothing to tell: the log to read is that of the one that ended.
                process = self.services[ended[0] if ended else service]
                problem = f"ended with status {process.exit_status}" if ended else f"not ready after {timeout_s:.0f} s"
                raise StackError(
                    process.name,
                    f"{problem}\n{process.log_tail()}",
                    log_path=process.log_path,
                    next_step="read the log file",
                )
            await asyncio.sleep(POLL_S)

    def kill9(self, name: str) -> None:
        """Kill a process as a crash does; it stays down until ``start`` (also with restarts on)."""
        self._supervisor.held_back.add(name)
        if name == "postgres":
            self.postgres.kill9()
        else:
            self.processes[name].kill9()

    def start(self, name: str) -> None:
        """Start a process that was killed or stopped, on the same ports and data; servers are waited for."""
        match name:
            case "nats":
                self.nats.start()
            case "postgres":
                self.postgres.start()
            case _:
                self.services[name].start()
        self._supervisor.held_back.discard(name)
        self.directory.write(self.state(ready=True))

    def pause(self, name: str) -> None:
        """Freeze a process."""
        self.processes[name].pause()

    def resume(self, name: str) -> None:
        """Let a paused process go on."""
        self.processes[name].resume()

    async def _note_restart(self, name: str) -> None:
        self._tell(f"{name} had ended and was started again")
        self.directory.write(self.state(ready=True))

    async def _stop(self) -> None:
        self._tell("stopping")
        await stop_all(list(self.services.values()))
        await stop_all([self.nats.process, self.postgres.process])

    def _tell(self, text: str) -> None:
        if self.options.progress is not None:
            self.options.progress(text)


async def stop_all(processes: list[ManagedProcess]) -> None:
    """Ask all to end at once, wait for them together, and kill who is late."""
    for process in processes:
        process.request_stop()
    await asyncio.gather(*(asyncio.to_thread(process.stop, STOP_TIMEOUT_S) for process in processes))


def service_ready(health_address: str) -> bool:
    """Ask the health port of a service whether it is ready."""
    host, _, port = health_address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
