"""What clients were told, on disk before it counts: the ledger that every lane is judged by.

A batch is invoked before its first byte leaves, and ends as ``ok`` (acknowledged), ``fail`` (every attempt was refused)
or unknown (some attempt got no answer). Lines are made durable together, in the order in which they were written:

    i <batch> <door> <first device> <devices> <first time, us> <first value> <readings>
    o <batch> <monotonic s>
    f <batch> <reason>

Reading ``n`` of a batch is of device ``first + n % devices`` at ``first time + n // devices`` and has the value
``first value + n``. No value is used twice, so a row tells which reading it is.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

UNKNOWN, OK, FAIL = 0, 1, 2
"""States of a batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Readings that are sent, and sent again, together."""

    number: int
    door: str
    device: int
    devices: int
    time_us: int
    value: int
    count: int

    def device_numbers(self) -> list[int]:
        """Return the device of each reading."""
        return [self.device + place % self.devices for place in range(self.count)]

    def times_us(self) -> list[int]:
        """Return the event time of each reading."""
        return [self.time_us + place // self.devices for place in range(self.count)]

    def values(self) -> list[float]:
        """Return the value of each reading."""
        return [float(self.value + place) for place in range(self.count)]


class Journal:
    """The file of one load: appended, and synced as often as the disk takes it."""

    def __init__(self, path: Path) -> None:
        """Append to the file."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lines: list[str] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._written = asyncio.Event()

    async def invoked(self, batch: Batch) -> None:
        """Return when the ledger knows on disk that this batch may be on its way."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._note(
            f"i {batch.number} {batch.door} {batch.device} {batch.devices} {batch.time_us} {batch.value} {batch.count}"
        )
        await future

    def ok(self, batch: Batch, monotonic_s: float) -> None:
        """Note an acknowledgement."""
        self._note(f"o {batch.number} {monotonic_s:.6f}")

    def fail(self, batch: Batch, reason: str) -> None:
        """Note that no attempt can have succeeded."""
        self._note(f"f {batch.number} {reason or '-'}")

    def _note(self, line: str) -> None:
        self._lines.append(line)
        self._written.set()

    async def keep(self) -> None:
        """Write and sync until cancelled; what is left is written at the end."""
        try:
            while True:
                await self._written.wait()
                self._written.clear()
                lines, self._lines = self._lines, []
                waiting, self._waiting = self._waiting, []
                await asyncio.to_thread(self._sync, lines)
                for future in waiting:
                    if not future.done():
                        future.set_result(None)
        finally:
            self._sync(self._lines)
            os.close(self._file)

    def _sync(self, lines: Sequence[str]) -> None:
        os.write(self._file, "".join(f"{line}\n" for line in lines).encode())
        os.fsync(self._file)


@dataclass(frozen=True, slots=True)
class Ledger:
    """Readings as columns, one entry each, ordered by value."""

    value: NDArray[np.int64]
    device: NDArray[np.int64]
    time_us: NDArray[np.int64]
    state: NDArray[np.int8]
    door: NDArray[np.int8]
    """Index into ``doors``."""
    doors: tuple[str, ...]

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Self:
        """Read the files of all loads."""
        batches: list[Batch] = []
        states: list[int] = []
        for path in paths:
            found = read_batches(path)
            batches += [batch for batch, _ in found]
            states += [state for _, state in found]
        return cls.of(batches, states)

    @classmethod
    def of(cls, batches: Sequence[Batch], states: Sequence[int]) -> Self:
        """Spread batches into readings."""
        doors = tuple(sorted({batch.door for batch in batches}))
        counts = np.array([batch.count for batch in batches], np.int64)
        place = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)

        def spread(values: Iterable[int]) -> NDArray[np.int64]:
            return np.repeat(np.fromiter(values, np.int64, len(batches)), counts)

        devices = spread(batch.devices for batch in batches)
        value = spread(batch.value for batch in batches) + place
        order = np.argsort(value, kind="stable")
        return cls(
            value[order],
            (spread(batch.device for batch in batches) + place % np.maximum(devices, 1))[order],
            (spread(batch.time_us for batch in batches) + place // np.maximum(devices, 1))[order],
            spread(states)[order].astype(np.int8),
            spread(doors.index(batch.door) for batch in batches)[order].astype(np.int8),
            doors,
        )

    @property
    def acknowledged(self) -> int:
        """Readings that were acknowledged."""
        return int((self.state == OK).sum())

    def acknowledged_by_door(self) -> dict[str, int]:
        """Return acknowledged readings by door."""
        counts = np.bincount(self.door[self.state == OK], minlength=len(self.doors))
        return dict(zip(self.doors, counts.tolist(), strict=True))


def read_batches(path: Path) -> list[tuple[Batch, int]]:
    """Return the batches of one file with their states."""
    batches: dict[int, Batch] = {}
    states: dict[int, int] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        kind, number, *rest = line.split(" ")
        match kind:
            case "i":
                door, device, devices, time_us, value, count = rest
                batches[int(number)] = Batch(
                    int(number), door, int(device), int(devices), int(time_us), int(value), int(count)
                )
                states[int(number)] = UNKNOWN
            case "o":
                states[int(number)] = OK
            case _:
                states[int(number)] = FAIL
    return [(batch, states[number]) for number, batch in batches.items()]
