"""The six services start together, and each comes back on its own addresses after a crash."""

import os
import signal
from pathlib import Path

import pytest

from maasloop.core.clock import SystemClock
from maasloop.stack.local import LocalStack, StackOptions, service_ready
from maasloop.stack.servers.databases import SERVICES
from maasloop.testing.providers import scratch_directory

CHECK_S = 0.1


@pytest.mark.timeout(180)
async def test_each_service_comes_back_after_kill9(local_stack: LocalStack) -> None:
    """After kill -9 a service is ready again on the same addresses, and its neighbours never went away."""
    for service in SERVICES:
        before = local_stack.services[service].pid
        local_stack.kill9(service)
        assert not service_ready(local_stack.addresses[service].health)

        local_stack.start(service)
        await local_stack.wait_ready(service)

        assert local_stack.directory.read().pids[service] != before

    assert all(process.alive for process in local_stack.processes.values())


@pytest.mark.e2e
@pytest.mark.timeout(120)
async def test_the_supervisor_restarts_what_dies_by_itself() -> None:
    """In ``make up`` a service that ends is started again without anybody asking, and nothing is left at the end."""
    clock = SystemClock()
    with scratch_directory() as directory:
        async with LocalStack(directory, StackOptions(durable_initdb=False)) as stack:
            first = stack.services["consent"].pid
            os.kill(first, signal.SIGKILL)
            while stack.services["consent"].pid == first:
                await clock.sleep(CHECK_S)
            await stack.wait_ready("consent")
            pids = [process.pid for process in stack.processes.values()]

        assert not any(_there(pid) for pid in pids)


def _there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
