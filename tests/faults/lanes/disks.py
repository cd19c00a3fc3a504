"""A full disk under the broker and under the database: refused with a reason, nothing lost, healed without an operator.

Each volume is a file system in memory that is shrunk to what is used on it, and grown again. Mounting needs root.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
from tests.faults.city import recorder, request_of
from tests.faults.lab import Lab, running, scratch
from tests.faults.lanes.kills import recovered
from tests.faults.lanes.outcome import Outcome
from tests.faults.ledger import Batch
from tests.faults.nemesis import Nemesis

VOLUME_BYTES = 16 * 1024**3
"""Streams may take that much together; memory is used only for what is written."""
LEFT_BYTES = 512 * 1024
"""Room that is left on a full volume."""
FULL_S = 12.0
LOOK_BACK_S = 3.0
"""End of the time in which the disk is full: what was under way has failed by then."""
HEALED_MAX_S = 60.0
REFUSED_WITHIN_S = 1.0
PROBE_TIMEOUT_S = 10.0
PROBE_DEVICE = 121
PROBE_VALUE = 500_000_000_000
PROBE_NUMBER = 1_000
NAME = "disk full under {}"


async def full_disk(nemesis: Nemesis, volume: str) -> Outcome:
    """Fill the volume of ``nats`` or ``postgres`` under load, free it again, and judge."""
    name = NAME.format("the broker" if volume == "nats" else "the database")
    if os.geteuid() != 0:
        return Outcome.not_run(name, "mounting a small file system needs root")
    with scratch() as root, _volumes(root) as mounted:
        if mounted is None:
            return Outcome.not_run(name, "this machine does not let us mount a file system")
        async with running(directory=root) as lab:
            return await _filled(lab, nemesis, name, mounted[volume], refuses=volume == "nats")


@contextmanager
def _volumes(root: Path) -> Iterator[dict[str, Path] | None]:
    """Mount a file system for everything (PostgreSQL needs its parent, too), and others for broker and logs."""
    state = root / ".maasloop"
    places = [state, state / "nats", state / "log"]
    mounted: list[Path] = []
    try:
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
            options = f"size={VOLUME_BYTES},mode=0711"
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=False)  # noqa: S607 - found by PATH, as on every machine
            if done.returncode:
                yield None
                return
            mounted.append(place)
        yield {"nats": state / "nats", "postgres": state}
    finally:
        for place in reversed(mounted):
            subprocess.run(["umount", "--lazy", str(place)], check=False)  # noqa: S607 - found by PATH, as on every machine


async def _filled(lab: Lab, nemesis: Nemesis, name: str, volume: Path, *, refuses: bool) -> Outcome:
    async with lab.load() as sampler:
        usual = sampler.usual
        nemesis.note("disk full", volume=volume.name)
        _resize(volume, _used_bytes(volume) + LEFT_BYTES)
        await asyncio.sleep(FULL_S)
        settled = [sample.settled for sample in sampler.samples if sample.at_s > sampler.samples[-1].at_s - LOOK_BACK_S]
        told, answered_s = await _probe(lab)
        _resize(volume, VOLUME_BYTES)
        freed_s = lab.clock.monotonic_s()
        took = await recovered(sampler, freed_s, usual, timeout_s=2 * HEALED_MAX_S)
        nemesis.note("space is back", refusal=told, answered_s=answered_s, recovery_s=took)
    verdict = await lab.verdict()
    met = {f"healed by itself within {HEALED_MAX_S:.0f} s": took is not None and took <= HEALED_MAX_S}
    met["the fault was there: nothing was stored while the disk was full"] = settled[-1] == settled[0]
    if refuses:
        met["refused with a reason"] = told not in {"OK", "DEADLINE_EXCEEDED"}
        met[f"refused within {REFUSED_WITHIN_S:.0f} s"] = answered_s <= REFUSED_WITHIN_S
    figures: dict[str, Any] = {
        "answer while full": told,
        "answered after, s": round(answered_s, 2),
        "back to the old rate after, s": None if took is None else round(took, 2),
    }
    return Outcome.of(name, verdict, requirements=met, figures=figures)


def _used_bytes(volume: Path) -> int:
    return shutil.disk_usage(volume).used


def _resize(volume: Path, size_bytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size_bytes}", str(volume)], check=True)  # noqa: S607 - found by PATH, as on every machine


async def _probe(lab: Lab) -> tuple[str, float]:
    """Send one batch, and return the answer and how long it took."""
    batch = Batch(PROBE_NUMBER, "grpc", PROBE_DEVICE, 1, lab.clock.now_us(), PROBE_VALUE, 5)
    began_s = lab.clock.monotonic_s()
    async with lab.stack.channel("ingest") as channel:
        record = recorder(channel)
        try:
            answer = await record(request_of(batch), timeout=PROBE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            await lab.note(replace(batch, door="probe"), ok=False)
            return str(error.code().name), lab.clock.monotonic_s() - began_s
    await lab.note(batch, ok=answer.accepted_count == batch.count)
    return "OK", lab.clock.monotonic_s() - began_s
