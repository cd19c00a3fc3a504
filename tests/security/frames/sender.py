"""Sends bursts to one listener: ``python -m tests.security.frames.sender`` with an ``Order`` as JSON on standard input.

A process of its own, because it takes a core. A connection is kept open until ``OPEN_MAX`` younger ones are, so that the
server has had time to read what was sent; then it is closed. Prints what was sent as JSON.
"""

import json
import socket
import ssl
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice

from tests.security.frames.language import LANGUAGES, bursts

OPEN_MAX = 64
PATIENCE_S = 5.0
"""Longest wait for a connection, a handshake or room to send."""
DRAINED_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be sent."""

    language: str
    port: int
    frames: int
    seed: int
    tls: bool = False
    """Speak TLS, without a certificate and without looking at the server's."""
    greeted: bool = False
    """The server speaks first, in clear, and TLS follows (NATS)."""
    frames_per_s: float = 0.0
    """0 = as fast as it goes."""


@dataclass(slots=True)
class Sent:
    """What was sent."""

    frames: int = 0
    connections: int = 0
    refused: int = 0
    """Connections that the server did not take."""


def send(order: Order) -> Sent:
    """Send all frames."""
    sent, opened = Sent(), deque[socket.socket]()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if order.language == "grpc":
        context.set_alpn_protocols(["h2"])
    began_s = time.monotonic()
    for burst in bursts(LANGUAGES[order.language], order.seed):
        if sent.frames >= order.frames:
            break
        if order.frames_per_s:
            time.sleep(max(0.0, began_s + sent.frames / order.frames_per_s - time.monotonic()))
        sent.connections += 1
        sent.frames += burst.frames
        try:
            opened.append(_connected(order, context))
        except OSError:
            sent.refused += 1
            continue
        # A server that hangs up in the middle has judged what it read.
        with suppress(OSError):
            opened[-1].sendall(burst.data)
        if len(opened) > OPEN_MAX:
            _close(opened.popleft())
    for connection in opened:
        _close(connection)
    return sent


def _connected(order: Order, context: ssl.SSLContext) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", order.port), PATIENCE_S)
    try:
        if order.tls and order.greeted:
            connection.recv(DRAINED_BYTES)
        return context.wrap_socket(connection) if order.tls else connection
    except OSError:
        connection.close()
        raise


def _close(connection: socket.socket) -> None:
    # What is left unread would make the kernel reset the connection, and the server lose what it has not read.
    with suppress(OSError):
        connection.setblocking(False)
        for _ in islice(iter(lambda: connection.recv(DRAINED_BYTES), b""), 4):
            pass
    connection.close()


def main() -> None:
    """Do what standard input says."""
    sys.stdout.write(json.dumps(asdict(send(Order(**json.load(sys.stdin))))))


if __name__ == "__main__":
    main()
