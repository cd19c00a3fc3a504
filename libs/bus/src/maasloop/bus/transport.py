"""The link under nats-py: one TCP socket, in the clear or with OpenSSL on the socket itself.

asyncio puts TLS between two buffers in memory, with a dozen calls in Python for each record. What crosses this link is small
and much, so that these calls cost more than the encryption; OpenSSL reads and writes the socket itself with one each.

No task of its own: the event loop calls when the socket can be read, or written after it was full. What was read and not
taken is bounded, what waits to be written is bounded by nats-py, which waits in ``drain``.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import ParseResult

from nats.aio.transport import Transport

READ_AT_ONCE = 65_536
RECORD_BYTES_MAX = 16_384
"""Plain bytes of the largest record of TLS (RFC 8446, 5.1): after one of these another follows most often."""
RECORDS_AT_ONCE_MAX = 16
"""Records that are read before other work of the event loop has its turn."""
UNREAD_MAX = 1_048_576
"""Bytes that wait to be taken before the socket is read no more."""
UNSENT_MAX = 65_536
"""Bytes that wait to be sent before ``drain`` waits."""

_AGAIN = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class SocketTransport(Transport):
    """Implements nats-py's port; connected anew after each loss."""

    def __init__(self) -> None:
        """Nothing is connected."""
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._read: deque[bytes] = deque()
        self._unread = 0
        self._unsent = bytearray()
        self._ended: Exception | None = None
        """Why nothing more is read; what was read before is handed out first."""
        self._closing = False
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """Connect to the first address that answers; raises ``OSError``, ``TimeoutError``."""
        self.abort()
        async with asyncio.timeout(connect_timeout):
            addresses = await self._loop.getaddrinfo(uri.hostname, uri.port, type=socket.SOCK_STREAM)
            for family, kind, protocol, _, address in addresses[:-1]:
                with suppress(OSError):
                    self._begin(await self._connected(family, kind, protocol, address))
                    return
            family, kind, protocol, _, address = addresses[-1]
            self._begin(await self._connected(family, kind, protocol, address))

    async def _connected(self, family: int, kind: int, protocol: int, address: tuple[Any, ...]) -> socket.socket:
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(0)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(made, address)
        except BaseException:
            made.close()
            raise
        return made

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        """Go on encrypted on the connected socket; raises ``ssl.SSLError``, ``OSError``, ``TimeoutError``."""
        name = uri if isinstance(uri, str) else uri.hostname
        plain = self._socket
        if plain is None:
            raise ConnectionResetError("the link is closed")
        self._loop.remove_reader(plain.fileno())
        secured = ssl_context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False)
        self._socket = secured
        async with asyncio.timeout(connect_timeout):
            while True:
                try:
                    secured.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    await self._ready(self._loop.add_reader, self._loop.remove_reader, secured)
                except ssl.SSLWantWriteError:
                    await self._ready(self._loop.add_writer, self._loop.remove_writer, secured)
        self._begin(secured)

    async def _ready(self, add: Callable[..., None], remove: Callable[[int], bool], secured: ssl.SSLSocket) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        add(secured.fileno(), _wake, ready)
        try:
            await ready
        finally:
            remove(secured.fileno())

    def _begin(self, connected: socket.socket) -> None:
        self._socket = connected
        self._read.clear()
        self._unread, self._ended, self._closing = 0, None, False
        self._unsent = bytearray()
        self._loop.add_reader(connected.fileno(), self._on_readable)

    def _on_readable(self) -> None:
        connected = self._socket
        if connected is None:
            return
        secured = isinstance(connected, ssl.SSLSocket)
        try:
            for _ in range(RECORDS_AT_ONCE_MAX):
                data = connected.recv(RECORD_BYTES_MAX if secured else READ_AT_ONCE)
                if not data:
                    self._end(EOFError("the server closed the link"))
                    break
                self._read.append(data)
                self._unread += len(data)
                if not secured or len(data) < RECORD_BYTES_MAX:
                    break
        except _AGAIN:
            pass
        except OSError as error:
            self._end(error)
        if self._unread > UNREAD_MAX and self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
        if self._reader is not None and (self._read or self._ended):
            _wake(self._reader)

    def _end(self, error: Exception) -> None:
        self._ended = self._ended or error
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
        for waiting in self._writers:
            _wake(waiting)
        self._writers.clear()

    async def read(self, buffer_size: int) -> bytes:
        """Return what has come, as soon as there is any; nothing at the end. Raises what broke the link."""
        while not self._read:
            if self._ended is not None:
                if isinstance(self._ended, EOFError):
                    return b""
                raise self._ended
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if len(self._read) == 1:
            found = self._read.popleft()
        else:
            found = b"".join(self._read)
            self._read.clear()
        if self._unread > UNREAD_MAX and self._ended is None and self._socket is not None:
            self._loop.add_reader(self._socket.fileno(), self._on_readable)
        self._unread = 0
        return found

    async def readline(self) -> bytes:
        """Return what has come up to the end of a line, or all at the end of the link."""
        line = b""
        while b"\n" not in line:
            more = await self.read(READ_AT_ONCE)
            if not more:
                return line
            line += more
        line, _, rest = line.partition(b"\n")
        if rest:
            self._read.appendleft(rest)
            self._unread += len(rest)
        return line + b"\n"

    def write(self, payload: bytes) -> None:
        """Send, or keep what the socket does not take; raises ``OSError`` where the link is broken."""
        self.writelines([payload])

    def writelines(self, payload: Iterable[bytes]) -> None:
        """Send in one write what was given in parts."""
        data = b"".join(payload)
        connected = self._socket
        if connected is None or self._ended is not None:
            raise ConnectionResetError("the link is closed")
        if self._unsent:
            self._unsent += data
            return
        left = memoryview(data)
        try:
            while left:
                left = left[connected.send(left) :]
        except _AGAIN:
            self._unsent += left
            self._loop.add_writer(connected.fileno(), self._on_writable)

    def _on_writable(self) -> None:
        connected = self._socket
        if connected is None:
            return
        try:
            while self._unsent:
                with memoryview(self._unsent) as left:
                    sent = connected.send(left)
                del self._unsent[:sent]
        except _AGAIN:
            pass
        except OSError as error:
            self._end(error)
            if self._reader is not None:
                _wake(self._reader)
            return
        if len(self._unsent) <= UNSENT_MAX:
            for waiting in self._writers:
                _wake(waiting)
            self._writers.clear()
        if not self._unsent:
            self._loop.remove_writer(connected.fileno())
            if self._closing:
                self.abort()

    async def drain(self) -> None:
        """Wait while much waits to be sent; raises ``OSError`` where the link is broken."""
        while len(self._unsent) > UNSENT_MAX and self._ended is None:
            waiting: asyncio.Future[None] = self._loop.create_future()
            self._writers.append(waiting)
            await waiting
        if self._ended is not None and self._unsent:
            raise ConnectionResetError("the link is closed")

    def close(self) -> None:
        """Close as soon as everything is sent."""
        if self._socket is None or not self._unsent or self._ended is not None:
            self.abort()
            return
        self._closing = True
        self._loop.remove_reader(self._socket.fileno())

    async def wait_closed(self) -> None:
        """Wait until everything is sent, or the link is broken."""
        while self._closing and self._socket is not None and self._ended is None:
            waiting: asyncio.Future[None] = self._loop.create_future()
            self._writers.append(waiting)
            await waiting

    def abort(self) -> None:
        """Close at once, whatever waits to be sent."""
        connected, self._socket = self._socket, None
        if connected is not None:
            self._loop.remove_reader(connected.fileno())
            self._loop.remove_writer(connected.fileno())
            connected.close()
        self._closing = False
        self._ended = self._ended or ConnectionAbortedError("the link was closed here")
        self._unsent = bytearray()
        for waiting in (*self._writers, *((self._reader,) if self._reader is not None else ())):
            _wake(waiting)
        self._writers.clear()

    def at_eof(self) -> bool:
        """Tell whether the link has ended and everything that came was taken."""
        return self._ended is not None and not self._read

    def __bool__(self) -> bool:
        """There always is a link to connect: nats-py makes none of its own."""
        return True


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
