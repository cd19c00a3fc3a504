"""Power loss, proven by the system calls: what an acknowledgement of the broker waits for.

A reading that was acknowledged survives a power cut only if its bytes were synced to the stream's file before the
acknowledgement left through the socket. ``strace`` shows both in order. The broker runs with the very configuration
that the stack writes, and for the sabotage with the same without its ``sync_interval``.
"""

import asyncio
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maasloop.bus.connection import connect
from maasloop.stack.process import descendants, kill_if_there
from maasloop.stack.servers.nats import NatsServer, nats_server_binary

MESSAGES = 50
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
SYNC_ALWAYS = "  sync_interval: always\n"
_CALL = re.compile(r"^(?P<thread>\d+)\s+(?P<at>[\d.]+)\s+(?P<name>\w+)\((?P<rest>.*)$")
_MARK = re.compile(r"POWER-(\d{4})")
_PROOF = re.compile(r'\\"stream\\":\\"POWER\\",\s?\\"seq\\":(\d+)')
_BLOCK = ".blk>"


@dataclass(frozen=True, slots=True)
class Proof:
    """What the system calls say of the acknowledgements."""

    acknowledged: int
    synced_before: int
    """Acknowledgements that left after the sync of what they acknowledge."""
    seen: int
    """Acknowledgements that were found in the trace."""

    @property
    def good(self) -> bool:
        """Whether every acknowledgement waited for the disk."""
        return self.acknowledged > 0 and self.synced_before == self.seen == self.acknowledged


def tracer() -> str | None:
    """Return the path of strace, where a process may be traced."""
    found = shutil.which("strace")
    if found is None:
        return None
    probe = subprocess.run([found, "-e", "trace=none", "true"], check=False, capture_output=True)
    return found if probe.returncode == 0 else None


async def prove(directory: Path, *, sync_always: bool) -> Proof:
    """Run a broker under strace, publish, and read the order of its calls."""
    strace = tracer()
    assert strace is not None, "ask tracer() first"
    server = NatsServer(directory)
    text = server.configuration()
    assert SYNC_ALWAYS in text, "the stack's configuration says when it syncs"
    server.configuration_path.write_text(text if sync_always else text.replace(SYNC_ALWAYS, ""))
    trace = directory / "trace"
    calls = "trace=openat,write,writev,pwrite64,fsync,fdatasync,sendto"
    command = [strace, "-f", "-ttt", "-y", "-s", "400", "-e", calls, "-o", str(trace)]
    process = await asyncio.create_subprocess_exec(
        *command,
        nats_server_binary(),
        "-c",
        str(server.configuration_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not await asyncio.to_thread(server.ready):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        acknowledged = await _publish(server.url)
    finally:
        # strace ends with the broker; told to end itself it would leave the broker behind.
        for pid in descendants(process.pid):
            kill_if_there(pid, signal.SIGTERM)
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    return read_trace(trace.read_text(errors="replace").splitlines(), acknowledged)


async def _publish(url: str) -> int:
    async with connect(url, name="faults-power") as bus:
        stream = {"name": "POWER", "subjects": ["power.>"], "storage": "file", "retention": "limits"}
        answer = await bus.api("STREAM.CREATE.POWER", stream)
        assert "error" not in answer, answer
        for number in range(MESSAGES):
            await bus.publish("power.x", f"POWER-{number:04d}".encode(), {"Nats-Msg-Id": str(number)})
    return MESSAGES


def read_trace(lines: Sequence[str], acknowledged: int) -> Proof:
    """Follow each message from the write into its block, over the sync of that block, to its acknowledgement.

    A block that was opened with O_SYNC or O_DSYNC is synced by the write itself.
    """
    unsynced: set[int] = set()
    """Sequences that were written and not synced since."""
    written: set[int] = set()
    opened_synced = False
    seen = good = 0
    for line in lines:
        call = _CALL.match(line)
        if call is None:
            continue
        name, rest = call["name"], call["rest"]
        if name == "openat" and _BLOCK in rest:
            opened_synced = "O_SYNC" in rest or "O_DSYNC" in rest
        elif name in {"write", "pwrite64", "writev"} and _BLOCK in rest.partition(",")[0]:
            numbers = {int(number) + 1 for number in _MARK.findall(rest)}
            written |= numbers
            if not opened_synced:
                unsynced |= numbers
        elif name in {"fsync", "fdatasync"} and _BLOCK in rest:
            unsynced.clear()
        elif "socket:" in rest.partition(",")[0]:
            for sequence in map(int, _PROOF.findall(rest)):
                seen += 1
                good += sequence in written and sequence not in unsynced
    return Proof(acknowledged, good, seen)
