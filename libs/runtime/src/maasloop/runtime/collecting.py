"""Short pauses of the garbage collector: what a process keeps for its life is left out of every later collection.

A full collection walks all objects that were ever loaded, 50 to 80 ms in a process of ours, and nothing else runs
meanwhile. What is there after the start (code, settings, then what projections hold) is collected once and set aside.
Task: ``settle``.
"""

import asyncio
import gc

from maasloop.core.clock import Clock

SETTLED_AFTER_S = (0.0, 10.0)
"""When what is there is set aside, counted from being ready: at once, and after the first snapshots of projections."""
THRESHOLDS = (10_000, 20, 50)
"""Objects made before the young are looked at, then how many such looks lead to one at older generations."""


async def settle(clock: Clock) -> None:
    """Set aside what was loaded, then last for ever."""
    gc.set_threshold(*THRESHOLDS)
    waited_s = 0.0
    for after_s in SETTLED_AFTER_S:
        await clock.sleep(after_s - waited_s)
        waited_s = after_s
        gc.collect()
        gc.freeze()
    await asyncio.Event().wait()
