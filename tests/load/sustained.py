"""A steady load over minutes: ``make bench-sustained``, ``make soak`` and ten times too much (``overload``).

25,000 readings a second in batches of 20 from 50 gRPC clients, and 1,000 single MQTT readings a second (QoS 1) beside them.
Latencies count from the moment a reading was due. One process sends everything; its processor time is told.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from tests.load import city, disk, figures, machine, offering, processes, watching, wire_grpc
from tests.load.doors import RECORD, STREAM
from tests.load.lab import BENCHES, DATA_PATH, Lab, laboratory

from maasloop.api.observation.v1.series_service_pb2 import GetCustodyBalanceRequest
from maasloop.api.observation.v1.series_service_pb2_grpc import SeriesServiceStub
from maasloop.stack.servers.databases import SERVICES

GRPC_CLIENTS = 50
BATCH = 20
READINGS_PER_S = 25_000
MQTT_PER_S = 1_000
MQTT_CONNECTIONS = 50
MQTT_DEVICES = 1_000
WARM_UP_S = 5.0
STREAM_TIMEOUT_S = 3_600
PROGRESS_EVERY_S = 30.0
SETTLE_S = 60.0
OVERLOAD = 10
OVERLOAD_BATCH = 180
"""So that ten times as many readings are not ten times as many calls, which one client could not send beside a full machine."""
SLOPE_FROM = 1 / 6
"""Share of a run after which memory is expected to stay as it is."""
MEMORY_MAX_MIB = 256


@dataclass(frozen=True)
class Plan:
    """One kind of run."""

    name: str
    seconds: int
    factor: float = 1.0
    services: tuple[str, ...] = DATA_PATH
    watchers: int = 1
    sample_every_s: float = 10.0
    batch: int = BATCH
    streams: bool = True
    """Whether gRPC clients send over a stream each, as who sends all the time does, or a call a batch."""


PLANS = {
    "sustained": Plan("sustained", 300),
    "soak": Plan("soak", 1_800, factor=0.5, services=SERVICES),
    "overload": Plan(
        "overload",
        60,
        factor=OVERLOAD,
        services=SERVICES,
        watchers=0,
        sample_every_s=1.0,
        batch=OVERLOAD_BATCH,
        streams=False,
    ),
}


async def run(plan: Plan) -> dict[str, Any]:
    """Offer the load to a stack of its own and return what was found."""
    about = machine.about()
    async with laboratory(services=plan.services) as lab:
        await _first_readings(lab)
        async with _senders(lab, plan) as (clients, devices):
            counted = refusals(lab)
            before, cpu = await lab.store.stored(), processes.cpu_seconds(lab.stack)
            processes.forget_peaks(lab.stack)
            gc.collect()
            gc.freeze()
            span = offering.Span(time.perf_counter(), time.time_ns() // 1_000, plan.seconds, WARM_UP_S)
            async with (
                processes.sampled(lab.stack, plan.sample_every_s) as samples,
                disk.synced(lab.stack.nats.directory) as synced_s,
            ):
                seen = await _offer(lab, plan, clients, devices, span)
            spent = processes.cpu_between(cpu, processes.cpu_seconds(lab.stack), million_rows=plan.seconds)
            told = {
                "machine": about,
                "seconds": plan.seconds,
                **_told("grpc", clients.outcome, seen, 0, plan.seconds),
                **_told("mqtt", devices.outcome, seen, 1, plan.seconds),
                **figures.latencies("disk_synced", synced_s),
                "cores_used": spent,
                "peak_mib": {**samples.peaks_mib(), **processes.peak_mib(lab.stack)},
                **samples.slopes(from_s=plan.seconds * SLOPE_FROM),
                "memory_mib_by_sixth": samples.memory_by_sixth(),
                "refusals": {name: round(count - counted.get(name, 0)) for name, count in refusals(lab).items()},
                **await _balance(lab, before, clients.outcome.acknowledged + devices.outcome.acknowledged),
            }
    told["peak_mib_highest"] = max(mib for name, mib in told["peak_mib"].items() if name != processes.POSTGRES)
    return told


async def _offer(
    lab: Lab, plan: Plan, clients: offering.GrpcClients, devices: offering.MqttDevices, span: offering.Span
) -> list[watching.Seen]:
    senders: list[tuple[offering.GrpcClients | offering.MqttDevices, float]] = [
        (clients, READINGS_PER_S * plan.factor / plan.batch),
        (devices, MQTT_PER_S * plan.factor),
    ]
    watchers = watching.watched(
        lab.stack.postgres_dsn,
        [clients.outcome, devices.outcome],
        counts_from_s=span.counts_from_s,
        watchers=plan.watchers,
    )
    async with watchers as seen:
        telling = asyncio.create_task(_tell_progress(span, clients.outcome, devices.outcome))
        try:
            await offering.offer(senders, span)
        finally:
            telling.cancel()
        await asyncio.gather(clients.settle(SETTLE_S), devices.settle(SETTLE_S))
    return seen


async def _tell_progress(span: offering.Span, *outcomes: offering.Outcome) -> None:
    while True:
        await asyncio.sleep(PROGRESS_EVERY_S)
        passed_s = time.perf_counter() - span.began_s
        sums = [
            sum(getattr(one, name) for one in outcomes) for name in ("offered", "acknowledged", "refused", "held_back")
        ]
        offered, acknowledged, refused, held_back = sums
        print(
            f"{passed_s:,.0f} of {span.seconds:,.0f} s: {offered:,} offered, {acknowledged:,} acknowledged, "
            f"{refused:,} refused, {held_back:,} held back",
            file=sys.stderr,
            flush=True,
        )


@asynccontextmanager
async def _senders(lab: Lab, plan: Plan) -> AsyncIterator[tuple[offering.GrpcClients, offering.MqttDevices]]:
    async with contextlib.AsyncExitStack() as stack:
        path = STREAM if plan.streams else RECORD
        channels = [
            await stack.enter_async_context(
                wire_grpc.Channel(lab.address("ingest"), path, tls=lab.tls(), timeout_s=STREAM_TIMEOUT_S)
            )
            for _ in range(GRPC_CLIENTS)
        ]
        first_mqtt = lab.devices - MQTT_DEVICES
        devices = offering.MqttDevices(lab.stack.mqtt, range(first_mqtt, lab.devices), connections=MQTT_CONNECTIONS)
        await devices.open()
        clients = offering.GrpcClients(channels, range(first_mqtt), batch=plan.batch, streams=plan.streams)
        await clients.open()
        yield clients, devices


async def _first_readings(lab: Lab) -> None:
    """Let every device have a series, so that none is made under the clock."""
    start_us = lab.street.take(1)
    before = await lab.store.stored()
    async with wire_grpc.Channel(lab.address("ingest"), RECORD, tls=lab.tls()) as channel:
        for request in city.requests(start_us, 1, devices=lab.devices):
            await channel.unary(request)
    await lab.store.wait_stored(before + lab.devices)


def _told(
    door: str, outcome: offering.Outcome, seen: list[watching.Seen], place: int, seconds: float
) -> dict[str, Any]:
    told: dict[str, Any] = {
        f"{door}_offered_per_s": round(outcome.offered / seconds),
        f"{door}_acknowledged_per_s": round(outcome.acknowledged / seconds),
        f"{door}_refused": outcome.refused,
        f"{door}_held_back": outcome.held_back,
        f"{door}_sent_per_s": round((outcome.offered - outcome.held_back) / seconds),
        f"{door}_refusals": dict(outcome.refusals),
        **figures.latencies(f"{door}_acknowledged", outcome.latency_s),
    }
    if seen[place].latency_s:
        told |= figures.latencies(f"{door}_visible", seen[place].latency_s)
        told[f"{door}_never_visible"] = seen[place].never
    return told


async def _balance(lab: Lab, before: int, acknowledged: int) -> dict[str, Any]:
    """Wait until nothing is on its way, and compare what was acknowledged with the rows."""
    began_s = time.perf_counter()
    async with lab.stack.channel("timeseries") as channel:
        series = SeriesServiceStub(channel)  # type: ignore[no-untyped-call, unused-ignore]  # generated code has no types everywhere
        while True:
            balance = await series.GetCustodyBalance(GetCustodyBalanceRequest())
            late = time.perf_counter() - began_s > SETTLE_S
            if late or (balance.in_stream_count == 0 and await lab.store.stored() - before >= acknowledged):
                break
            await asyncio.sleep(0.2)
    return {
        "acknowledged": acknowledged,
        "rows": await lab.store.stored() - before,
        "at_rest_after_s": round(time.perf_counter() - began_s, 2),
        "balance": {field.name: value for field, value in balance.ListFields() if field.name != "doors"},
    }


def refusals(lab: Lab) -> dict[str, float]:
    """Return ingest's counters of what it refused or shed, by their labels."""
    with urllib.request.urlopen(f"http://{lab.stack.addresses['ingest'].health}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    wanted = ("refus", "shed", "reject", "overload")
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
        if any(word in name for word in wanted) and "_created" not in name
    }


def limits(plan: Plan, told: dict[str, Any]) -> list[str]:
    """Return the limits of a run beside what was found."""
    memory = figures.judged("peak_mib_highest", told, at_most=MEMORY_MAX_MIB)
    if plan.name == "overload":
        return [memory]
    return [
        *(figures.judged(f"{door}_acknowledged_p99_ms", told, at_most=100) for door in ("grpc", "mqtt")),
        *(figures.judged(f"{door}_visible_p99_ms", told, at_most=1_000) for door in ("grpc", "mqtt")),
        figures.judged("grpc_acknowledged_per_s", told, at_least=READINGS_PER_S * plan.factor),
        figures.judged("mqtt_acknowledged_per_s", told, at_least=MQTT_PER_S * plan.factor),
        memory,
    ]


def main() -> int:
    """Run the bench and return the exit status."""
    parser = argparse.ArgumentParser(prog="sustained", description=__doc__)
    parser.add_argument("plan", choices=sorted(PLANS))
    parser.add_argument("--seconds", type=int, help="of the load; what the plan says if left out")
    parser.add_argument("--factor", type=float, help="times the sustained rate")
    parser.add_argument(
        "--calls", action="store_true", help="gRPC clients make a call a batch, instead of a stream each"
    )
    arguments = parser.parse_args()
    plan = PLANS[arguments.plan]
    plan = replace(
        plan,
        seconds=arguments.seconds or plan.seconds,
        factor=arguments.factor or plan.factor,
        streams=plan.streams and not arguments.calls,
    )
    told = asyncio.run(run(plan))
    machine.write(BENCHES / f"{plan.name}.json", told)
    for name, value in told.items():
        print(f"{name:32} {json.dumps(value)}")
    print("\n".join(limits(plan, told)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
