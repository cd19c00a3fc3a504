"""TCP ports of loopback: those that were configured, and free ones that stay ours across a restart.

They come from below the range from which the kernel serves outgoing connections (32768 and up): there a client of
another process can take the port of a server that is down for a second, and the restart fails. A port is claimed when it
is chosen, because its server listens only later: two stacks that start at the same time never choose the same, nor does
one process twice.
"""

import fcntl
import os
import random
import socket
import tempfile
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from maasloop.stack.errors import StackError

LOOPBACK = "127.0.0.1"
PORT_FIRST = 20_000
PORT_LAST = 32_000
PORT_MAX = 65_535
ATTEMPTS_MAX = 200
"""Tries before no free port is reported."""

PORTS_VARIABLE = "MAASLOOP_STACK__PORTS"
"""Environment variable with ports by listener, for example ``nats=4222 mqtt=1883 ingest-http=8080``."""

CHOSEN_REMEMBERED = 2_000
"""So many ports later a process may choose one again, if nothing listens on it."""

_random = random.SystemRandom()
_chosen: deque[int] = deque(maxlen=CHOSEN_REMEMBERED)
"""A lock of the kernel keeps other processes away, never the one that holds it."""


def configured_ports(listeners: Collection[str], environment: Mapping[str, str] = os.environ) -> dict[str, int]:
    """Return the configured ports by listener; the others are taken free.

    Raises ``StackError`` with the sentence that mends it for an unknown listener, a number that is no port, a port that
    is given twice, and one on which something listens already.
    """
    found: dict[str, int] = {}
    for word in environment.get(PORTS_VARIABLE, "").split():
        listener, _, number = word.partition("=")
        if listener not in listeners:
            problem = f"{PORTS_VARIABLE} names no listener with {word!r}"
            raise StackError("ports", problem, next_step=f"use some of {', '.join(sorted(listeners))}")
        if not (number.isdecimal() and 0 < int(number) <= PORT_MAX) or int(number) in found.values():
            raise StackError("ports", f"{word!r} of {PORTS_VARIABLE} is no port, or one that was given before")
        if not port_free(int(number)):
            problem = f"something listens already on the port of {word!r}"
            raise StackError("ports", problem, next_step=f"end it, or name another in {PORTS_VARIABLE}")
        found[listener] = int(number)
    return found


def free_ports(count: int) -> tuple[int, ...]:
    """Return that many different ports of loopback on which nothing listens; they are this process's until it ends."""
    found: set[int] = set()
    for _ in range(ATTEMPTS_MAX + count):
        if len(found) == count:
            return tuple(sorted(found))
        port = _random.randrange(PORT_FIRST, PORT_LAST)
        if port not in _chosen and claim(port) and port_free(port):
            _chosen.append(port)
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


def claim(port: int) -> bool:
    """Take a port for this process until it ends, and say whether no other process of this user has it.

    A claim is a lock of the kernel on one byte of a common file: nothing is left of it when a process is killed. Where
    that file cannot be had, every claim is granted.
    """
    claims = _claims()
    if claims is None:
        return True
    try:
        fcntl.lockf(claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


@cache
def _claims() -> int | None:
    """Open the common file once: closing it anywhere in the process would drop all its locks."""
    path = Path(tempfile.gettempdir()) / f"maasloop-ports-{os.getuid()}"
    with suppress(OSError):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    return None
