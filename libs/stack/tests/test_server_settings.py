"""What the generated configuration of the servers promises."""

import subprocess
import sys
from pathlib import Path

import pytest

from maasloop.core.clock import SystemClock
from maasloop.stack import ports as ports_module
from maasloop.stack.certificates import StackCertificates
from maasloop.stack.errors import StackError
from maasloop.stack.ports import PORT_FIRST, PORT_LAST, PORTS_VARIABLE, configured_ports, free_ports
from maasloop.stack.servers import container, postgres
from maasloop.stack.servers.nats import NatsPorts, NatsServer
from maasloop.stack.servers.postgres import SETTINGS
from maasloop.stack.services import LISTENERS, NEIGHBOURS, Neighbours, choose_addresses, service_environment


def test_nats_waits_for_the_disk_and_binds_loopback(tmp_path: Path) -> None:
    """Every acknowledgement is on disk first, the store is bounded, no listener is open to others."""
    text = NatsServer(tmp_path, ports=NatsPorts(1, 2, 3), file_store_max_bytes=1000).configuration()

    assert "sync_interval: always" in text
    assert 'js_api_timeout: "60s"' in text
    assert "max_file_store: 1000" in text
    assert "max_payload: 8388608" in text
    for line in ('listen: "127.0.0.1:1"', 'listen: "127.0.0.1:2"', 'http: "127.0.0.1:3"'):
        assert line in text


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_postgres_is_durable(setting: str) -> None:
    """No setting that loses what was committed is relaxed."""
    assert SETTINGS[setting] == "on"


def test_the_container_is_the_same_server(tmp_path: Path) -> None:
    """The container runs with our settings, keeps its data in our directory, and is published on loopback only."""
    command = container.container_command("podman", "maasloop-postgres-9", tmp_path, 9)

    assert command[:5] == ["podman", "run", "--rm", "--name", "maasloop-postgres-9"]
    assert "127.0.0.1:9:5432" in command
    assert f"{tmp_path}:/var/lib/postgresql/data" in command
    assert "POSTGRES_INITDB_ARGS=--data-checksums" in command
    assert "synchronous_commit=on" in command
    assert "listen_addresses=*" in command
    assert "listen_addresses=127.0.0.1" not in command


def test_only_the_pinned_major_version_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another PostgreSQL on the machine is no substitute."""
    monkeypatch.setattr(postgres, "BINARY_DIRECTORY", tmp_path)

    with pytest.raises(StackError, match="make setup"):
        postgres.binary("initdb")


def test_ports_are_different_and_outside_the_outgoing_range() -> None:
    """The kernel gives none of them to a client while a server is down."""
    ports = free_ports(20)

    assert len(set(ports)) == 20
    assert all(PORT_FIRST <= port < PORT_LAST for port in ports)


def test_a_process_chooses_no_port_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack asks several times before the first of its servers listens."""
    monkeypatch.setattr(ports_module, "PORT_LAST", PORT_FIRST + 400)
    chosen = [port for _ in range(10) for port in free_ports(10)]

    assert len(set(chosen)) == len(chosen)


def test_a_chosen_port_is_nobody_elses_before_its_server_listens() -> None:
    """Two stacks that start side by side never choose the same port, and what a process has chosen ends with it."""
    chooses = "from maasloop.stack.ports import free_ports; print(*free_ports(1))"
    claims = "import sys; from maasloop.stack.ports import claim; print(claim(int(sys.argv[1])))"
    (ours,) = free_ports(1)
    gone = int(_python(chooses))

    assert _python(claims, ours) == "False"
    assert _python(claims, gone) == "True"


def _python(program: str, *arguments: int) -> str:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_service_is_told_its_neighbours() -> None:
    """Each service gets its own addresses, its own role, and the addresses of those it asks."""
    addresses = choose_addresses({})
    dsns = {service: f"dsn-of-{service}" for service in addresses}

    certificates = StackCertificates(Path("/c"), SystemClock())
    environment = service_environment(
        "ingest", Neighbours("nats://n", dsns, addresses, Path("secrets"), None, certificates)
    )

    assert environment["MAASLOOP_INGEST__NATS_URL"] == "nats://n"
    assert environment["MAASLOOP_INGEST__POSTGRES_DSN"] == "dsn-of-ingest"
    assert environment["MAASLOOP_INGEST__GRPC_ADDRESS"] == addresses["ingest"].grpc
    assert environment["MAASLOOP_INGEST__PUBLIC_GRPC_ADDRESS"] == addresses["ingest"].public
    assert environment["MAASLOOP_INGEST__TLS_KEY_FILE"] == "/c/ingest.key"
    assert "MAASLOOP_INGEST__INSECURE_ON_LOOPBACK" not in environment
    assert environment["MAASLOOP_INGEST__HTTP_ADDRESS"] == addresses["ingest"].http
    assert environment["MAASLOOP_INGEST__DEVICE_REGISTRY_ADDRESS"] == addresses["device-registry"].grpc
    assert set(NEIGHBOURS) == set(addresses)


def test_configured_ports_are_taken_and_the_others_are_free() -> None:
    """A port that is configured by its listener's name is used; every other listener gets a free one of its own."""
    (free,) = free_ports(1)
    ports = configured_ports(LISTENERS, {PORTS_VARIABLE: f"ingest-http={free}"})

    addresses = choose_addresses(ports)

    assert addresses["ingest"].http == f"127.0.0.1:{free}"
    every = [address for one in addresses.values() for address in (one.grpc, one.health, one.http) if address]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("text", ["nats", "nats=", "nats=0", "nats=70000", "teapot=1234", "nats=4222 mqtt=4222"])
def test_a_port_that_cannot_be_is_refused_with_a_sentence(text: str) -> None:
    """Unknown listeners, numbers that are no ports and ports given twice stop the start."""
    with pytest.raises(StackError, match=PORTS_VARIABLE):
        configured_ports(LISTENERS, {PORTS_VARIABLE: text})
