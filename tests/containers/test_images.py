"""Images as they are shipped: small, without root, on a root that cannot be written, and ended without losing a call."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest

from images.machine import run, try_out
from images.plan import IMAGES, MIB, Image
from maasloop.api.device.v1 import device_service_pb2 as pb
from maasloop.api.device.v1.device_pb2 import Device, DeviceType, District
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.bus import connection as bus_connection
from maasloop.bus.ensure import ensure
from maasloop.core.errors import MaasloopError
from maasloop.rpc import client
from maasloop.rpc.client import call
from maasloop.stack.errors import StackError
from maasloop.stack.ports import free_ports
from maasloop.stack.services import setting_name

if TYPE_CHECKING:
    from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceAsyncStub

pytestmark = pytest.mark.timeout(300)

VERSION = "0.1.0"
BUILT = {
    each["image"]: each
    for path in [Path(__file__).resolve().parents[2] / "dist" / "images" / "report.json"]
    if path.exists()
    for each in json.loads(path.read_text())
}
CALLERS = 8
GRACE_S = 60
KILLED = 137


def _tag(image: str) -> str:
    return f"localhost/{image}:{VERSION}"


@pytest.fixture(name="image", params=[each for each in IMAGES if each.name in BUILT], ids=lambda each: each.name)
def _image(request: pytest.FixtureRequest) -> Image:
    image: Image = request.param
    return image


def test_there_are_images() -> None:
    """The lane has something to judge: `make images` has run."""
    assert {"maasloop-device-registry", "maasloop-cli"} <= set(BUILT), "make images first"


def test_the_trial_of_this_machine_can_fail(tmp_path: Path) -> None:
    """What decides whether containers run here tells a container that ran from one that did not."""
    broken = tmp_path / "broken"
    broken.write_text("no program")
    broken.chmod(0o755)

    try_out(Path(sys.executable).parent / "nats-server")
    with pytest.raises(StackError, match="podman run"):
        try_out(broken)


def test_an_image_is_small(image: Image) -> None:
    """Unpacked it takes no more than it may, its base with it."""
    size = int(run(["podman", "image", "inspect", "--format", "{{.Size}}", _tag(image.name)]))

    assert size / MIB <= image.unpacked_max_mib


def test_an_image_runs_as_a_number(image: Image) -> None:
    """Its user is a number that is not root, as Kubernetes can check, and its process needs no shell."""
    (described,) = json.loads(run(["podman", "image", "inspect", _tag(image.name)]))

    assert described["Config"]["User"] == "10001:10001"
    assert described["Config"]["Entrypoint"][0].startswith("/")


@contextmanager
def _registry(dsn: str, nats_url: str, port: int) -> Iterator[str]:
    """Run the shipped image as a pod would, beside the servers of the test."""
    name = f"maasloop-test-{uuid4().hex[:8]}"
    settings = {"postgres_dsn": dsn, "nats_url": nats_url, "grpc_address": f"127.0.0.1:{port}"}
    settings |= {"insecure_on_loopback": "true", "health_address": f"127.0.0.1:{free_ports(1)[0]}"}
    variables = [f"--env={setting_name('device-registry', key)}={value}" for key, value in settings.items()]
    hardened = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--read-only-tmpfs=false"]
    options = ["--network=host", "--tmpfs=/tmp", *hardened, *variables]
    run(["podman", "run", "--detach", f"--name={name}", *options, _tag("maasloop-device-registry")])
    try:
        yield name
    finally:
        run(["podman", "rm", "--force", "--time=0", name])


@asynccontextmanager
async def _stub(port: int) -> AsyncIterator["DeviceServiceAsyncStub"]:
    async with client.connected(f"127.0.0.1:{port}") as channel:
        await client.wait_ready(channel, "device-registry")
        yield DeviceServiceStub(channel)


async def _create_until_refused(stub: "DeviceServiceAsyncStub", caller: int) -> list[str]:
    """Create devices one after the other until the service takes no more; return those it said yes to."""
    answered: list[str] = []
    while True:
        device_id = f"lamp-{caller}-{len(answered)}"
        device = Device(device_type="deviceTypes/lamp")
        request = pb.CreateDeviceRequest(parent="districts/noord", device_id=device_id, device=device)
        try:
            await call(stub.CreateDevice, request)
        except MaasloopError:
            return answered
        answered.append(device_id)


async def _stopped_under_load(name: str, port: int, *stop: str) -> tuple[list[str], int]:
    """Stop the container while callers create devices; return what was answered, and the status of the process."""
    async with _stub(port) as stub:
        lamp = DeviceType(display_name="Lamp")
        await call(stub.CreateDeviceType, pb.CreateDeviceTypeRequest(device_type_id="lamp", device_type=lamp))
        district = District(display_name="Noord")
        await call(stub.CreateDistrict, pb.CreateDistrictRequest(district_id="noord", district=district))
        callers = [asyncio.create_task(_create_until_refused(stub, number)) for number in range(CALLERS)]
        await asyncio.sleep(1.0)
        await asyncio.to_thread(run, ["podman", *stop, name])
        answered = [device for each in await asyncio.gather(*callers) for device in each]
    status = await asyncio.to_thread(run, ["podman", "inspect", "--format", "{{.State.ExitCode}}", name])
    return answered, int(status)


def _first_process(container: str) -> tuple[bytes, int]:
    """Return the program and the user of the process with the number 1 inside."""
    process = Path("/proc") / run(["podman", "inspect", "--format", "{{.State.Pid}}", container]).strip()
    return (process / "cmdline").read_bytes().split(b"\0")[0], process.stat().st_uid


@pytest.fixture(name="running")
async def _running(service_dsn: Callable[[str], str], nats_url: str) -> AsyncIterator[tuple[str, int]]:
    (port,) = free_ports(1)
    async with bus_connection.connect(nats_url, name="test") as bus:
        await ensure(bus)
    with _registry(service_dsn("device-registry"), nats_url, port) as name:
        yield name, port


async def test_a_stopped_container_drains(running: tuple[str, int], postgres_dsn: str) -> None:
    """SIGTERM reaches the process, which ends by itself with status 0; every device it said yes to is stored."""
    name, port = running
    answered, status = await _stopped_under_load(name, port, "stop", f"--time={GRACE_S}")

    assert status == 0
    assert answered
    with psycopg.connect(postgres_dsn) as connection:
        rows = connection.execute("SELECT id FROM device_registry.devices").fetchall()
    assert set(answered) <= {str(row[0]) for row in rows}


async def test_a_killed_container_does_not(running: tuple[str, int]) -> None:
    """The status tells a process that drained from one that was killed."""
    name, port = running
    _, status = await _stopped_under_load(name, port, "kill")

    assert status == KILLED


async def test_the_first_process_is_the_service(running: tuple[str, int]) -> None:
    """No shell and no supervisor stands between the container and the service, and it runs as the number it is told."""
    name, port = running
    async with _stub(port):
        command, owner = await asyncio.to_thread(_first_process, name)

    assert command == b"/opt/maasloop/bin/python"
    assert owner == 10001


def test_the_command_line_starts_without_the_twin() -> None:
    """The image of jobs has the command, and not the street that only a demo needs."""
    command = ["podman", "run", "--rm", "--read-only", "--network=none", _tag("maasloop-cli")]
    environment = {**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False, env=environment)

    assert helped.returncode == 0, helped.stderr
    assert "selftest" in helped.stdout
    assert "demo" not in helped.stdout
