"""A process that takes a lease again and again, and writes down when it held it by its own view.

Arguments: address of NATS, name of the holder, file for the times, pairs of monotonic seconds. It runs until it is ended.
"""

import asyncio
import sys
from pathlib import Path

from maasloop.bus.connection import connect
from maasloop.bus.subjects import lease
from maasloop.core.clock import SystemClock
from maasloop.runtime.leases import Lease, Terms

TERMS = Terms(renew_s=0.2, held_s=0.8, free_s=1.0, look_s=0.05)
SUBJECT = lease("test", 0)
TICK_S = 0.005


async def hold(url: str, path: Path) -> None:
    """Take it, keep it, and begin again."""
    clock = SystemClock()
    async with connect(url, name="holder") as bus:
        held = Lease(bus, SUBJECT, clock, terms=TERMS)
        with path.open("w", encoding="ascii", buffering=1) as times:
            while True:
                await held.take()
                keeping = asyncio.create_task(held.keep())
                while not keeping.done():
                    at_s = clock.monotonic_s()
                    if held.held:
                        # What was true at ``at_s``: nothing between the two looks at the time.
                        times.write(f"{at_s}\n")
                    await asyncio.sleep(TICK_S)


if __name__ == "__main__":
    asyncio.run(hold(sys.argv[1], Path(sys.argv[2])))
