"""Memory that goes back: large arrays lie apart from the heap, so that the system has theirs again when they are freed.

glibc puts the second array of a size on the heap, because mapping one costs page faults; what lies above then keeps the
room of a lot of readings for the life of the process. The values are those of mallopt(3).
"""

import ctypes

LARGE_BYTES = 1024 * 1024
"""From this size on a block is mapped by itself."""
SLACK_BYTES = 8 * 1024 * 1024
"""Free room at the end of the heap that is kept: less would be given back and asked for again at every batch."""
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_large_apart() -> None:
    """Set both for this process; nothing happens where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, SLACK_BYTES)
