"""An HTTP/1.1 client that sends requests made beforehand over kept connections and looks at the status alone."""

import asyncio
import ssl
from collections.abc import Iterator, Mapping, Sequence

_HEAD_END = b"\r\n\r\n"
_OK = b"HTTP/1.1 200"
_LENGTH = b"content-length:"


def post(address: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the bytes of a request."""
    said = {"host": address, **headers, "content-length": str(len(body))}
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items()), "", ""]
    return "\r\n".join(lines).encode("ascii") + body


class _Sender(asyncio.Protocol):
    """One connection: the next request leaves when the answer to the last has come."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.finished = 0
        self._requests = requests
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail when the server closed."""
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"the server closed the connection: {exc}"))

    def data_received(self, data: bytes) -> None:
        """Wait for the whole answer, then send the next."""
        buffer = self._buffer
        buffer += data
        head_end = buffer.find(_HEAD_END)
        if head_end < 0:
            return
        head = bytes(buffer[:head_end]).lower()
        at = head.find(_LENGTH)
        size = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(buffer) < head_end + len(_HEAD_END) + size:
            return
        if not buffer.startswith(_OK):
            self.done.set_exception(RuntimeError(f"a request was refused: {bytes(buffer)!r}"))
            return
        self.finished += 1
        buffer.clear()
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None)
        if request is not None:
            self._transport.write(request)
        elif not self.done.done():
            self.done.set_result(None)
            self._transport.close()


async def send_all(
    address: str, requests: Sequence[bytes], *, tls: ssl.SSLContext | None = None, connections: int
) -> None:
    """Send all requests over so many connections; raises when one was not answered with 200."""
    host, _, port = address.rpartition(":")
    waiting, loop = iter(requests), asyncio.get_running_loop()
    senders = [
        (await loop.create_connection(lambda: _Sender(waiting), host, int(port), ssl=tls))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(sender.done for sender in senders))
