"""What a city needs, from what a reading, a lamp's command and a junction were measured to cost.

The costs are a file beside this module, which ``python -m tests.load.cost`` writes. Everything else here is arithmetic: processor
time adds up, a process has one core of which it may use a share, memory is what was measured, and bytes are bytes a
reading. Where a figure outgrows what one server does, the answer says so instead of a larger number.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Self

from maasloop.bus.streams import OBSERVATIONS

COSTS_FILE = "costs.json"
UTILISATION = 0.6
"""Share of its core that a process is planned for; the rest is for bursts, and for catching up after a restart."""
COPIES_MIN: Mapping[str, int] = {"ingest": 2}
"""Pods that are there in any case: readings are acknowledged while one is replaced."""
SEVERAL = frozenset({"ingest", "timeseries"})
"""Services that grow by pods; the others are one each."""
SERVERS = ("nats", "postgres")
PROCESSES = ("ingest", "device-registry", "timeseries", "actuation", "notification", "consent", *SERVERS)
MEMORY_HEADROOM = 1.5
"""Limit over the highest memory that was measured."""
DAY_S = 86_400
MIB = 1024 * 1024
NATS_CORES_MAX = 8.0
"""What one nats-server is planned for: beyond it, districts get servers of their own."""
POSTGRES_CORES_MAX = 16.0
"""What one PostgreSQL is planned for: beyond it, a city has several."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured."""

    measured: Mapping[str, Any]
    """Where and when: machine, commit, versions."""

    reading_cpu_ms: Mapping[str, Mapping[str, float]]
    """Processor time of one reading by door and process, ms."""

    reading_rows_per_s: Mapping[str, float]
    """Readings a second by door that became rows while everything ran on the machine that was measured."""

    reading_stream_bytes: Mapping[str, float]
    """Bytes of one reading in OBSERVATIONS by door."""

    reading_row_bytes: float
    """Bytes of one reading in PostgreSQL with its index and its share of minutes and hours."""

    reading_wal_bytes: float
    """Bytes of one reading in the write-ahead log."""

    lamp_command_cpu_ms: Mapping[str, float]
    """Processor time by process of one command to a lamp: the reading that causes it, the answer, the power read back; ms."""

    junction_second_cpu_ms: float
    """Processor time of actuation for one junction and second, ms."""

    memory_mib: Mapping[str, float]
    """Highest memory of each process, MiB."""

    @classmethod
    def read(cls) -> Self:
        """Return the costs of this version."""
        return cls(
            **json.loads(files(__package__ or "maasloop.stack").joinpath(COSTS_FILE).read_text(encoding="utf-8"))
        )


@dataclass(frozen=True, slots=True)
class City:
    """What is to be served."""

    readings_per_s: float
    """All readings: of sensors, of lamps and of detectors."""

    lamps: int = 0
    junctions: int = 0
    door: str = "batches"
    """How readings come, one of ``Costs.reading_cpu_ms``."""

    commands_a_lamp_and_hour: float = 4.0


@dataclass(frozen=True, slots=True)
class Part:
    """What one process of the platform needs."""

    name: str
    pods: int
    cores: float
    """Busy cores, of all pods together."""

    memory_mib: int
    """Limit of one pod."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a city needs."""

    parts: Sequence[Part]
    rows_gib_a_day: float
    """Growth of PostgreSQL as long as nothing is dropped by retention."""

    wal_gib_a_day: float
    """Write-ahead log, which is archived or dropped."""

    stream_gib: float
    """``max_bytes`` with which OBSERVATIONS holds a day."""

    streams_scale: int
    """``streams.scale`` of the chart for that."""

    limits: Sequence[str]
    """What this outgrows; empty = one NATS and one PostgreSQL do it."""

    @property
    def cores(self) -> float:
        """Busy cores, all together."""
        return sum(part.cores for part in self.parts)

    @property
    def pods(self) -> int:
        """Pods of services and servers."""
        return sum(part.pods for part in self.parts)

    @property
    def memory_mib(self) -> int:
        """Limits of memory, all together."""
        return sum(part.pods * part.memory_mib for part in self.parts)


def size(city: City, costs: Costs) -> Size:
    """Return what a city needs; ``ValueError`` where the door is none of those measured."""
    if city.door not in costs.reading_cpu_ms:
        message = f"door is one of {', '.join(costs.reading_cpu_ms)}; got {city.door}"
        raise ValueError(message)
    parts = [_part(name, _cores(name, city, costs), costs) for name in PROCESSES]
    day = city.readings_per_s * DAY_S
    stream = day * costs.reading_stream_bytes[city.door]
    return Size(
        parts=parts,
        rows_gib_a_day=_gib(day * costs.reading_row_bytes),
        wal_gib_a_day=_gib(day * costs.reading_wal_bytes),
        stream_gib=_gib(stream),
        streams_scale=max(1, math.ceil(stream / OBSERVATIONS.max_bytes)),
        limits=_limits(parts),
    )


def _cores(name: str, city: City, costs: Costs) -> float:
    """Return the busy cores of one process: milliseconds a second, by 1,000."""
    commands_per_s = city.lamps * city.commands_a_lamp_and_hour / 3_600
    busy_ms = city.readings_per_s * costs.reading_cpu_ms[city.door].get(name, 0.0)
    busy_ms += commands_per_s * costs.lamp_command_cpu_ms.get(name, 0.0)
    if name == "actuation":
        busy_ms += city.junctions * costs.junction_second_cpu_ms
    return busy_ms / 1_000


def _part(name: str, cores: float, costs: Costs) -> Part:
    pods = max(COPIES_MIN.get(name, 1), math.ceil(cores / UTILISATION)) if name in SEVERAL else 1
    return Part(name, pods, round(cores, 3), math.ceil(costs.memory_mib.get(name, 0.0) * MEMORY_HEADROOM / 32) * 32)


def _limits(parts: Sequence[Part]) -> list[str]:
    cores = {part.name: part.cores for part in parts}
    found = []
    if cores["actuation"] > UTILISATION:
        found.append(
            f"actuation is one process and would use {cores['actuation']:.1f} cores: divide the city between several platforms"
        )
    if cores["nats"] > NATS_CORES_MAX:
        found.append(f"NATS would use {cores['nats']:.1f} cores: give districts servers of their own (leaf nodes)")
    if cores["postgres"] > POSTGRES_CORES_MAX:
        found.append(f"PostgreSQL would use {cores['postgres']:.1f} cores: divide the city between several databases")
    return found


def _gib(octets: float) -> float:
    return round(octets / MIB / 1_024, 2)
