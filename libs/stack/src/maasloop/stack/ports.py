"""Free TCP ports that stay ours across a restart.

They come from below the range from which the kernel serves outgoing connections (32768 and up): there a client of
another process can take the port of a server that is down for a second, and the restart fails.
"""

import random
import socket

LOOPBACK = "127.0.0.1"
PORT_FIRST = 20_000
PORT_LAST = 32_000
ATTEMPTS_MAX = 200
"""Tries before no free port is reported."""

_random = random.SystemRandom()


def free_ports(count: int) -> tuple[int, ...]:
    """Return that many different ports of loopback on which nothing listens."""
    found: set[int] = set()
    for _ in range(ATTEMPTS_MAX + count):
        if len(found) == count:
            return tuple(sorted(found))
        port = _random.randrange(PORT_FIRST, PORT_LAST)
        if port_free(port):
            found.add(port)
    msg = f"no {count} free ports between {PORT_FIRST} and {PORT_LAST} on {LOOPBACK}"
    raise OSError(msg)


def port_free(port: int) -> bool:
    """Say whether nothing listens on this port of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
