"""A TCP proxy whose link can be made bad while it carries connections: one link, one proxy.

The words are those of Toxiproxy: latency and jitter, bandwidth, slicer, limit_data, reset_peer, down; a black hole keeps
the sockets open and carries nothing either way, a half-open link nothing one way.
"""

import asyncio
import random
import socket
import struct
from dataclasses import dataclass, field, replace
from enum import Enum
from types import TracebackType
from typing import Self

CHUNK_BYTES = 64 * 1024
RESET_LINGER = struct.pack("ii", 1, 0)
"""SO_LINGER by which a close sends a reset."""


class Way(Enum):
    """A direction of the link, as the client sees it."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Toxics:
    """How the link is at present."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    """0 = as fast as it goes."""
    slice_bytes: int = 0
    """Bytes a piece; 0 = as they come."""
    limit_bytes: int = 0
    """A connection is closed after that many bytes; 0 = never."""
    blocked: frozenset[Way] = frozenset()
    """Ways on which nothing is carried while sockets stay open."""


CLEAN = Toxics()


@dataclass(eq=False, slots=True)
class _Link:
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    carried: int = 0


class Proxy:
    """Listens on loopback and carries to ``upstream``. Use as an async context manager."""

    def __init__(self, upstream: tuple[str, int] = ("127.0.0.1", 0), *, seed: int = 0) -> None:
        """Jitter is drawn from the seed."""
        self.upstream = upstream
        self.port = 0
        self.connections = 0
        """Connections that were ever accepted."""
        self._toxics = CLEAN
        self._changed = asyncio.Event()
        self._random = random.Random(seed)
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Listen on a free port, which stays the same."""
        await self.up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything."""
        await self.down()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def up(self) -> None:
        """Accept connections (again)."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse connections, and close those that are there."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._close_all()

    def set(self, toxics: Toxics) -> None:
        """Change the link from now on."""
        self._toxics = toxics
        self._changed.set()
        self._changed = asyncio.Event()

    def block(self, *ways: Way) -> None:
        """Carry nothing on these ways; without any, on both (a black hole)."""
        self.set(replace(self._toxics, blocked=frozenset(ways or Way)))

    def clean(self) -> None:
        """Make the link good; what was held back goes on."""
        self.set(CLEAN)

    def reset(self) -> None:
        """Cut all connections with a reset."""
        for link in self._links:
            for writer in link.writers:
                found = writer.get_extra_info("socket")
                if found is not None:
                    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_LINGER)
        self._close_all()

    def _close_all(self) -> None:
        for link in tuple(self._links):
            for writer in link.writers:
                writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = _Link([writer])
        self._links.add(link)
        try:
            await self._passable(Way.UP)
            upstream_reader, upstream_writer = await asyncio.open_connection(*self.upstream)
            link.writers.append(upstream_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(link, reader, upstream_writer, Way.UP))
                group.create_task(self._pump(link, upstream_reader, writer, Way.DOWN))
        except (OSError, ExceptionGroup):
            # A cut link is what this is for.
            pass
        finally:
            self._links.discard(link)
            for each in link.writers:
                each.transport.abort()

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
        while True:
            await self._passable(way)
            data = await reader.read(self._toxics.slice_bytes or CHUNK_BYTES)
            # What was read before the link was cut does not arrive, either.
            await self._passable(way)
            if not data:
                raise ConnectionResetError
            toxics = self._toxics
            if toxics.latency_s or toxics.jitter_s:
                await asyncio.sleep(max(0.0, toxics.latency_s + self._random.uniform(-1, 1) * toxics.jitter_s))
            if toxics.bytes_per_s:
                await asyncio.sleep(len(data) / toxics.bytes_per_s)
            writer.write(data)
            await writer.drain()
            link.carried += len(data)
            if toxics.limit_bytes and link.carried >= toxics.limit_bytes:
                raise ConnectionResetError

    async def _passable(self, way: Way) -> None:
        while way in self._toxics.blocked:
            await self._changed.wait()
