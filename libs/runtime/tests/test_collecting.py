"""What a process loaded at its start is left out of later collections."""

import subprocess
import sys

PROGRAM = """
import asyncio, gc
from maasloop.core.clock import SystemClock
from maasloop.runtime.collecting import settle

async def main():
    before = len(gc.get_objects())
    task = asyncio.create_task(settle(SystemClock()))
    while not gc.get_freeze_count():
        await asyncio.sleep(0.01)
    task.cancel()
    print(gc.get_freeze_count() > before / 2, len(gc.get_objects()) < before / 2)

asyncio.run(main())
"""


def test_what_was_loaded_is_set_aside() -> None:
    """After settling nearly all objects lie outside of the generations that a collection walks."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "True"]
