"""Memory that one thread frees is there for all: one arena of the C library a process.

glibc gives its threads arenas of their own, up to eight a core, and what was freed in one is not used in another. gRPC's
threads take turns at the messages, so that under a flood ingest held 279 to 293 MiB where 239 do (``make bench-overload``).
Our threads take turns at the interpreter anyway: the rate is the same.
"""

import ctypes
import sys

_M_ARENA_MAX = -8
"""Of malloc.h (glibc); mallopt(3)."""


def use_one_arena() -> bool:
    """Let threads that begin from now on share one arena; false where the C library has no such setting."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_ARENA_MAX, 1) == 1
