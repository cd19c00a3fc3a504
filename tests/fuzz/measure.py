"""What one payload costs: CPU time, and memory at its peak, of the process that decodes it.

Memory is the larger of what Python's allocators report and of how far the resident set rose; the second sees what C and
Rust allocate, the first what was allocated where memory had been freed before.
"""

import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from maasloop.core.errors import InvalidArgument

REPEATED = 5
"""A time is the least of so many, because other processes share the processor's caches."""
MIB = 1024 * 1024
_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def outcome(run: Callable[[bytes], object], payload: bytes) -> str:
    """Run a target; return ``decoded`` or the reason of the refusal. Anything else comes through."""
    try:
        run(payload)
    except InvalidArgument as error:
        return str(error.reason)
    return "decoded"


def _spent(run: Callable[[bytes], object], payload: bytes) -> None:
    """Run a target for what it costs; what escapes has been reported."""
    with suppress(Exception):
        run(payload)


def cpu_ms(run: Callable[[bytes], object], payload: bytes) -> float:
    """Return the CPU time of one decoding in milliseconds."""
    least_ns = 10**18
    for _ in range(REPEATED):
        start_ns = time.thread_time_ns()
        _spent(run, payload)
        least_ns = min(least_ns, time.thread_time_ns() - start_ns)
    return least_ns / 1e6


def peak_mib(run: Callable[[bytes], object], payload: bytes) -> float:
    """Return the memory that one decoding takes at its peak, in MiB."""
    tracemalloc.start()
    try:
        _spent(run, payload)
        traced = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return max(traced, _risen(run, payload)) / MIB


def _risen(run: Callable[[bytes], object], payload: bytes) -> int:
    """Return by how many bytes the resident set was higher during one decoding; 0 where the system does not say."""
    try:
        _REFS.write_text("5")
        before = _high_water()
        _spent(run, payload)
        return max(0, _high_water() - before)
    except OSError:
        return 0


def _high_water() -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
