"""No secret leaves its file: every one that a stack makes, and those that strangers show at its doors, are looked for.

In logs, answers, state, configurations, command lines, metrics and traces as a collector of OTLP gets them. There, and in the
chart as Helm renders its profiles, stands nothing either that is a secret by its form.
"""

import asyncio
import contextlib
import json
import ssl
import urllib.request
from pathlib import Path

import grpc
from tests.chart.parts.rendered import PROFILES, HelmLibrary
from tests.load.lab import directory
from tests.observability.collector import Collector, collecting
from tests.security.neighbours import neighbours
from tests.security.oracle.wire import Closed, MqttWire
from tests.security.outcome import Outcome, Plan
from tests.security.secrets_found import files, hits, secrets_below, shapes

from maasloop.api.device.v1.device_service_pb2 import ListDistrictsRequest
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.runtime.settings import environment_prefix
from maasloop.stack.local import LocalStack, StackOptions
from maasloop.stack.servers.databases import SERVICES

SHOWN = "canary-7f3a9c51e08b4d26a1c4-shown-by-a-stranger"
"""What a stranger shows as token, password and key."""
SECRETS_MIN = 20
"""A stack makes at least so many; fewer are a search that finds nothing because it looks for nothing."""
CALLED = "/maasloop.api.device.v1.DeviceService/ListDistricts"
TIMEOUT_S = 10.0


async def run(plan: Plan) -> Outcome:
    """Start a stack, knock at its doors with a canary, and search."""
    del plan
    with directory() as root, collecting(whole=True) as (collector, endpoint):
        async with LocalStack(root, StackOptions(environment=_tracing(endpoint))) as stack:
            answers = await _knock(stack)
            async with neighbours(stack.state(ready=True)) as others:
                for other in others:
                    await other.ask()
            secrets = {**secrets_below(stack.directory.secrets), "shown": SHOWN}
            places = _places(stack) | {"answers": answers}
            open_environments = _open_environments(stack)
            environments = hits(secrets, _of_processes(stack, "environ"))
        # What was not sent yet, a service sends at its end.
        traced = len(collector.spans(CALLED))
        places |= _traces(collector) | _chart()
    found = [*hits(secrets, places), *shapes(places)]
    return Outcome.of(
        "secrets in their files only",
        {
            "no secret stands anywhere else": not found,
            "the stranger's call and the neighbour's are in traces": traced > 1,
            f"at least {SECRETS_MIN} secrets are looked for": len(secrets) >= SECRETS_MIN,
            "environments are readable by their account only": not open_environments,
        },
        figures={"canary_hits": len(found), "canary_secrets": len(secrets), "canary_places": len(places)},
        notes=(*found[:10], f"in environments, which their account alone can read: {len(environments)}"),
    )


def _places(stack: LocalStack) -> dict[str, bytes]:
    """Return what anybody may come to see: logs, the state file, configurations, command lines, metrics."""
    path = stack.directory.path
    found = files([*stack.directory.logs.iterdir(), *path.glob("*.json"), *path.rglob("*.conf")])
    found |= _of_processes(stack, "cmdline")
    for service, addresses in stack.addresses.items():
        with urllib.request.urlopen(f"http://{addresses.health}/metrics", timeout=TIMEOUT_S) as page:
            found[f"metrics of {service}"] = page.read()
    return found


def _tracing(endpoint: str) -> dict[str, str]:
    """Return settings that make every service tell all it can."""
    told = {"OTLP_ENDPOINT": endpoint, "OTLP_METRICS": "true", "TRACES_PER_SECOND_MAX": "1000"}
    return {environment_prefix(one) + name: value for one in SERVICES for name, value in told.items()}


def _traces(collector: Collector) -> dict[str, bytes]:
    return {f"request {number} of OTLP": each for number, each in enumerate(collector.requests or ())}


def _chart() -> dict[str, bytes]:
    chart = HelmLibrary()
    return {
        f"{name} of the chart, {profile}": text.encode()
        for profile, values in PROFILES.items()
        for name, text in chart.texts(values).items()
    }


def _of_processes(stack: LocalStack, name: str) -> dict[str, bytes]:
    """Return a file of ``/proc`` of every process of the stack and its children."""
    found = {}
    for status in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if name == "cmdline" or int(status.name) in {process.pid for process in stack.processes.values()}:
                found[f"{name} of {status.name}"] = (status / name).read_bytes()
    return found


def _open_environments(stack: LocalStack) -> list[int]:
    pids = [process.pid for process in stack.processes.values()]
    return [pid for pid in pids if Path(f"/proc/{pid}/environ").stat().st_mode & 0o077]


async def _knock(stack: LocalStack) -> bytes:
    """Show the canary at every door, and return what the doors answer."""
    said = []
    context = ssl.create_default_context(
        cafile=str(stack.certificates.operator.authority) if stack.certificates else None
    )
    trusted = (
        grpc.ssl_channel_credentials(stack.certificates.operator.authority.read_bytes()) if stack.certificates else None
    )
    assert trusted is not None
    async with grpc.aio.secure_channel(stack.addresses["device-registry"].public, trusted) as channel:
        try:
            metadata = (("authorization", f"Bearer {SHOWN}"),)
            await DeviceServiceStub(channel).ListDistricts(ListDistrictsRequest(), metadata=metadata, timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            said.append(str(error))
    said.append(await asyncio.to_thread(_http, stack.http_url, context))
    try:
        await asyncio.to_thread(_mqtt, stack)
    except (Closed, OSError) as error:
        said.append(str(error))
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.nats.ports.client)
    said.append((await reader.readline()).decode())
    await writer.start_tls(context, server_hostname="127.0.0.1")
    options = {"user": "stranger", "pass": SHOWN, "verbose": False}
    writer.write(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(TIMEOUT_S):
            said.append((await reader.readline()).decode())
    writer.close()
    return "\n".join(said).encode()


def _http(url: str, context: ssl.SSLContext) -> str:
    headers = {"Authorization": f"Bearer {SHOWN}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/observations?district=noord", b"{}", headers)  # noqa: S310 - our own door
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as answer:  # noqa: S310 - our own door
            return str(answer.read())
    except urllib.error.HTTPError as error:
        return f"{error} {error.read()!r}"


def _mqtt(stack: LocalStack) -> None:
    assert stack.certificates is not None
    MqttWire(stack.nats.mqtt_address, stack.certificates.operator.authority, client="noord/lamp-1", token=SHOWN)
