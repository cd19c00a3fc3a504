"""Resident memory of each service, with 10,000 devices and with many more, and how long an import takes to be known."""

import time
from pathlib import Path
from typing import Any

from tests.load import city

from maasloop.stack.local import LocalStack, StackOptions
from maasloop.stack.servers.databases import SERVICES

KIB_A_MIB = 1_024


def resident_mib(stack: LocalStack) -> dict[str, float]:
    """Return the resident memory of each service."""
    found = {}
    for name, process in stack.services.items():
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
        found[name] = round(int(kib) / KIB_A_MIB, 1)
    return found


async def measure(root: Path, devices: int) -> dict[str, Any]:
    """Return memory of all services with 10,000 devices under load, and with ``devices``."""
    told: dict[str, Any] = {}
    async with (
        LocalStack(root, StackOptions(services=SERVICES, restart=False)) as stack,
        stack.channel("device-registry") as registry,
        stack.channel("ingest") as ingest,
    ):
        await city.register(registry)
        now_us = int(time.time()) * 1_000_000  # noqa: TID251 - street time of the bench
        await city.wait_until_known(ingest, now_us - 60_000_000)
        for request in city.requests(now_us - 50_000_000, 20):
            await city.recorder(ingest)(request)
        told["rss_mib_10000_devices"] = resident_mib(stack)
        began_s = time.perf_counter()
        await city.add(registry, first=city.DEVICES, devices=devices - city.DEVICES)
        told["import_committed_s"] = round(time.perf_counter() - began_s, 2)
        await city.wait_until_known(ingest, now_us, last=devices)
        told["import_known_to_ingest_s"] = round(time.perf_counter() - began_s, 2)
        told[f"rss_mib_{devices}_devices"] = resident_mib(stack)
    return told
