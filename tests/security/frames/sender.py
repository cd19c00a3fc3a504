"""Sends bursts to one listener: ``python -m tests.security.frames.sender`` with an ``Order`` as JSON on standard input.

A process of its own, because it takes a core. A connection is kept open until ``OPEN_MAX`` younger ones are, so that the
server has had time to read what was sent; then it is closed. Prints what was sent as JSON.
"""

import json
import math
import os
import socket
import ssl
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from tests.security.frames.language import LANGUAGES, bursts

OPEN_MAX = 64
NICE, NICE_MAX = 10, 19
AUTOGROUP = Path("/proc/self/autogroup")
CLEAR_EACH = 5
TLS_FRAMES = 4
"""How many times as many frames a connection in TLS has: the handshake costs both sides more than all of them."""
LATE_MAX = 1.5
"""A paced sender that takes so many times as long as it should stops: the machine is too busy for its pace."""
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
    """Speak TLS, without a certificate and without looking at the server's; one connection of ``CLEAR_EACH`` in clear."""
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
    seconds: float = 0.0


def send(order: Order) -> Sent:
    """Send all frames."""
    sent, opened = Sent(), deque[socket.socket]()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if order.language == "grpc":
        context.set_alpn_protocols(["h2"])
    began_s = time.monotonic()
    late_s = began_s + LATE_MAX * order.frames / order.frames_per_s if order.frames_per_s else math.inf
    for burst in bursts(LANGUAGES[order.language], order.seed, times=TLS_FRAMES if order.tls else 1):
        if sent.frames >= order.frames or time.monotonic() > late_s:
            break
        if order.frames_per_s:
            time.sleep(max(0.0, began_s + sent.frames / order.frames_per_s - time.monotonic()))
        sent.connections += 1
        sent.frames += burst.frames
        try:
            secure = order.tls and sent.connections % CLEAR_EACH != 0
            opened.append(_connected(order, context if secure else None))
        except OSError:
            sent.refused += 1
            continue
        # A server that hangs up in the middle has judged what it read.
        with suppress(OSError):
            opened[-1].sendall(burst.data)
        if len(opened) > OPEN_MAX:
            _close(opened.popleft())
    sent.seconds = time.monotonic() - began_s
    for connection in opened:
        _close(connection)
    return sent


def _connected(order: Order, context: ssl.SSLContext | None) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", order.port), PATIENCE_S)
    try:
        if context is not None and order.greeted:
            connection.recv(DRAINED_BYTES)
        return connection if context is None else context.wrap_socket(connection)
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


def _stand_back() -> None:
    """Give way to everybody: an attacker has a machine of its own, and what it computes there delays nobody here.

    Linux shares processors out among sessions first (sched(7), autogroup), and only within one by ``nice``.
    """
    os.nice(NICE_MAX)
    os.setsid()
    with suppress(OSError):
        AUTOGROUP.write_text(str(NICE_MAX), encoding="ascii")


def main() -> None:
    """Say that everything is loaded, and do what standard input says."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    order = Order(**json.load(sys.stdin))
    if order.frames_per_s:
        _stand_back()
    else:
        os.nice(NICE)
    sys.stdout.write(json.dumps(asdict(send(order))))


if __name__ == "__main__":
    main()
