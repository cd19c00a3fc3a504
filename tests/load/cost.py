"""What a reading, a lamp's command and a junction cost: ``python -m tests.load.cost`` writes ``costs.json`` and its table.

Processor time is that of the processes themselves, so that a busy machine changes it little; bytes are those of tables, the
write-ahead log and the stream. Readings come through three doors on one stack, commands are those of the loop's bench on another.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiomqtt
from psycopg import AsyncConnection
from tests.load import doors, machine, processes
from tests.load.lab import BENCHES, Lab, Measured, directory, laboratory

from maasloop.bus.streams import OBSERVATIONS
from maasloop.identity.command_keys import KeySetFile
from maasloop.identity.commands import CommandGuard
from maasloop.stack import capacity
from maasloop.stack.capacity import COSTS_FILE, Costs
from maasloop.stack.local import LocalStack, StackOptions
from maasloop.testing.buses import core_bus

COSTS = Path(capacity.__file__).with_name(COSTS_FILE)
PAGE = Path("docs/how-to/operate/size.md")
MARK = "<!-- costs -->\n"
LOOP_BENCH = Path("services/actuation/bench").resolve()
LOOP_SERVICES = ("ingest", "device-registry", "timeseries", "actuation", "consent")
SIGNALS_SCALE = BENCHES / "signals-scale.json"
SECONDS = 30
"""Street seconds of the run of batches; 10,000 readings each."""
HTTP_REQUESTS = 200
MQTT_MESSAGES = 8_000
LAMPS = 200
COMMANDED_TIMEOUT_S = 60.0
MS_A_MILLION_ROWS = 1_000 / 1_000_000
"""Seconds a million rows, as milliseconds a row."""
_BYTES = """
SELECT coalesce(sum(pg_total_relation_size(format('%I.%I', schemaname, tablename)::regclass)), 0)::bigint
FROM pg_tables WHERE schemaname IN ('timeseries', '_timescaledb_internal')
"""
_WAL = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"


async def readings() -> dict[str, Any]:
    """Measure a reading through each door, and its bytes in tables, log and stream."""
    cpu: dict[str, dict[str, float]] = {}
    stream: dict[str, float] = {}
    rates: dict[str, float] = {}
    told: dict[str, Any] = {"reading_cpu_ms": cpu, "reading_rows_per_s": rates, "reading_stream_bytes": stream}
    async with laboratory() as lab, await AsyncConnection.connect(lab.stack.postgres_dsn, autocommit=True) as database:
        await lab.empty()
        processes.forget_peaks(lab.stack)
        before = await _asked(database, _BYTES), await _asked(database, _WAL)
        sends: tuple[tuple[str, Callable[[], Awaitable[Measured]]], ...] = (
            ("batches", lambda: doors.grpc_calls(lab, seconds=SECONDS, rows=1_000)),
            ("http", lambda: doors.http_json(lab, requests=HTTP_REQUESTS)),
            ("mqtt", lambda: doors.mqtt_singles(lab, messages=MQTT_MESSAGES)),
        )
        for name, send in sends:
            held = await _held(lab)
            measured = await send()
            cpu[name] = _own(measured.cpu_s, MS_A_MILLION_ROWS)
            rates[name] = round(measured.rows_per_s)
            stream[name] = round((await _held(lab) - held) / measured.rows, 1)
            if name == "batches":
                bytes_, wal = await _asked(database, _BYTES), await _asked(database, _WAL)
                told["reading_row_bytes"] = round((bytes_ - before[0]) / measured.rows, 1)
                told["reading_wal_bytes"] = round((wal - before[1]) / measured.rows, 1)
            _say(f"{name}: {sum(cpu[name].values()):.4f} ms a reading, {stream[name]} bytes in the stream")
        told["memory_mib"] = processes.resident_mib(lab.stack) | processes.peak_mib(lab.stack)
    return told


async def commands() -> dict[str, Any]:
    """Measure a command to a lamp: what causes it, its answer and the power that is read back."""
    sys.path.insert(0, str(LOOP_BENCH))
    import loop_scene as scene  # type: ignore[import-not-found]  # a script beside the loop's bench

    lamps = [f"lamp-{number:05}" for number in range(LAMPS)]
    with directory() as root:
        async with (
            LocalStack(root, StackOptions(services=LOOP_SERVICES, restart=False)) as stack,
            stack.channel("device-registry") as registry,
            stack.channel("actuation") as actuation,
            aiomqtt.Client(**stack.mqtt.options(), identifier="cost-cabinet", max_inflight_messages=200) as client,
        ):
            await scene.register(registry, lamps, ["air-00000"])
            await scene.make_policy(actuation)
            await client.subscribe(f"dev/v1/{scene.DISTRICT}/+/down/commands", qos=0)
            guard = CommandGuard(scene.DISTRICT, lamps, KeySetFile(stack.directory.command_keys))
            field = scene.Device(client, guard)
            tasks = [asyncio.create_task(work) for work in (field.hear(), *(field.answer() for _ in range(8)))]
            try:
                await scene.darken(field, lamps)
                before = processes.cpu_seconds(stack)
                for lamp in lamps:
                    await field.pass_by(lamp)
                async with asyncio.timeout(COMMANDED_TIMEOUT_S):
                    while len(field.arrived) < len(lamps):
                        await asyncio.sleep(0.1)
                await asyncio.sleep(1.0)  # Answers and powers on their way belong to the cost.
                spent = processes.cpu_between(before, processes.cpu_seconds(stack))
                memory = processes.resident_mib(stack)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "lamp_command_cpu_ms": _own(spent, 1_000 / len(lamps)),
        "memory_mib": {"actuation": memory["actuation"], "notification": memory["actuation"]},
    }


def junction_second_ms(told: Mapping[str, Any]) -> float:
    """Return the processor time of a junction and second from what ``make bench-signals-scale`` found."""
    return round(1_000 * float(told["core_share_mean"]) / int(told["junctions"]), 4)


def _own(cpu_s: Mapping[str, float], factor: float) -> dict[str, float]:
    """Return the times of the platform's processes; parts of PostgreSQL are in its sum."""
    return {name: round(cpu_s[name] * factor, 6) for name in capacity.PROCESSES if name in cpu_s}


async def _held(lab: Lab) -> int:
    """Return the bytes of the stream, as far as its messages were not purged."""
    async with core_bus(lab.stack) as bus:
        return int((await bus.api(f"STREAM.INFO.{OBSERVATIONS.name}"))["state"]["bytes"])


async def _asked(database: AsyncConnection[tuple[Any, ...]], question: str) -> int:
    row = await (await database.execute(question.encode())).fetchone()
    return int(row[0]) if row else 0


def table(costs: Costs) -> str:
    """Return the table of a page."""
    doors_ = list(costs.reading_cpu_ms)
    lines = [
        f"Measured {costs.measured['time']} at commit `{costs.measured['commit']}`: {costs.measured['cores']} cores,",
        f"{costs.measured['processor']}, load before {costs.measured['load_average_before']}.",
        "",
        f"| process | {' | '.join(f'{door}, ms a reading' for door in doors_)} | ms a lamp command | MiB |",
        f"|---|{'---:|' * (len(doors_) + 2)}",
    ]
    for name in capacity.PROCESSES:
        cells = [f"{costs.reading_cpu_ms[door].get(name, 0.0):.4f}" for door in doors_]
        command = f"{costs.lamp_command_cpu_ms.get(name, 0.0):.2f}"
        lines.append(f"| {name} | {' | '.join(cells)} | {command} | {costs.memory_mib.get(name, 0.0):.0f} |")
    rates = ", ".join(f"{rate:,.0f} ({door})" for door, rate in costs.reading_rows_per_s.items())
    streams = ", ".join(f"{octets:.0f} ({door})" for door, octets in costs.reading_stream_bytes.items())
    lines += [
        "",
        "| figure | value |",
        "|---|---:|",
        f"| rows a second with everything on this machine | {rates} |",
        f"| bytes of a reading in OBSERVATIONS | {streams} |",
        f"| bytes of a reading in PostgreSQL, with index, minutes and hours | {costs.reading_row_bytes:.0f} |",
        f"| bytes of a reading in the write-ahead log | {costs.reading_wal_bytes:.0f} |",
        f"| ms of actuation a junction and second | {costs.junction_second_cpu_ms:.3f} |",
    ]
    return "\n".join(lines) + "\n"


def filled(page: str, costs: Costs) -> str:
    """Return the page with the table between its marks."""
    head, mark, rest = page.partition(MARK)
    _, end, tail = rest.partition(MARK.replace("<!-- ", "<!-- /"))
    if not mark or not end:
        message = f"{PAGE} has no place for the table"
        raise ValueError(message)
    return f"{head}{mark}{table(costs)}{end}{tail}"


def _say(text: str) -> None:
    print(f"cost: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Measure, write both files and return the exit status."""
    parser = argparse.ArgumentParser(prog="cost", description=__doc__)
    parser.add_argument("--table-only", action="store_true", help="write the table from the costs that are there")
    if not parser.parse_args().table_only:
        about = machine.about()
        found, loop = asyncio.run(readings()), asyncio.run(commands())
        junction = junction_second_ms(json.loads(SIGNALS_SCALE.read_text(encoding="utf-8")))
        costs = Costs(
            measured=about,
            **{**found, "memory_mib": loop["memory_mib"] | found["memory_mib"]},
            lamp_command_cpu_ms=loop["lamp_command_cpu_ms"],
            junction_second_cpu_ms=junction,
        )
        machine.write(COSTS, asdict(costs))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), Costs.read()), encoding="utf-8")
    print(table(Costs.read()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
