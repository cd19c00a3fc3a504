"""Running another program in a test."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager


@asynccontextmanager
async def program(
    *command: str, stdout: int | None = None, stderr: int | None = None, environment: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a program, and kill it at the end of the block if it is still there.

    One that a failed test leaves behind is found by the garbage collector, which then fails a test that did nothing.
    """
    process = await asyncio.create_subprocess_exec(*command, stdout=stdout, stderr=stderr, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
