"""Threads of a service share one arena."""

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, threading
from maasloop.runtime.allocating import use_one_arena

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
{first}
begun = threading.Barrier(4)

def work():
    libc.malloc(100_000)
    begun.wait()

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.malloc_stats()
"""


@pytest.mark.parametrize(("first", "alone"), [("assert use_one_arena()", True), ("", False)])
def test_threads_share_one_arena(first: str, *, alone: bool) -> None:
    """What the C library tells of its arenas names one; without the setting, more."""
    program = [sys.executable, "-c", PROGRAM.format(first=first)]
    told = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True).stderr
    assert "Arena 0:" in told
    assert ("Arena 1:" not in told) == alone
