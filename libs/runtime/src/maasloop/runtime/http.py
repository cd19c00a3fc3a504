"""An HTTP listener that starts and stops where the runtime says, and leaves the process's signals alone."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from maasloop.identity.certificates import TlsFiles
from maasloop.identity.tls import LiveTls, following_context

from .http_limits import HEAD_BYTES_MAX, LimitedProtocol, limited
from .settings import split_address

BACKLOG = 128
CONNECTIONS_MAX = 1_024
KEEP_ALIVE_S = 5
STARTED_POLL_S = 0.01

_log = structlog.get_logger()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the runtime alone decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpDoor:
    """Serves an ASGI application on ``host:port``; port 0 takes a free one at ``start``."""

    def __init__(
        self,
        app: ASGIApp,
        address: str,
        *,
        tls: TlsFiles | None = None,
        connections_max: int = CONNECTIONS_MAX,
        refusal: ASGIApp | None = None,
    ) -> None:
        """``refusal`` answers in place of ``app`` while more than ``connections_max`` are open, and ends connections.

        With ``tls`` it is HTTPS, and renewed files are taken up by the next handshake.
        """
        self.port = 0
        self._app = app
        self._connections_max = connections_max
        self._refusal = refusal
        self._host, self._port_wanted = split_address(address)
        self._server = _Server(
            uvicorn.Config(
                limited(app if refusal is None else self._limited),
                # What is called with three arguments; a bound method would be taken for the older kind.
                interface="asgi3",
                log_config=None,
                # Its warnings are one a frame of rubbish, which is counted instead.
                log_level="error",
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                http=LimitedProtocol,
                ws="none",
                h11_max_incomplete_event_size=HEAD_BYTES_MAX,
            )
        )
        if tls is not None:
            self._server.config.load()
            self._server.config.ssl = following_context(LiveTls(tls))
        self._serving: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """The address it listens on, with the real port after ``start``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self.port}"

    async def start(self) -> None:
        """Listen."""
        listener = self._bound()
        self.port = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name=f"http {self.address}")
        while not self._server.started:
            if self._serving.done():
                await self._serving
            await asyncio.sleep(STARTED_POLL_S)
        _log.info("http_listening", address=self.address)

    async def refuse(self) -> None:
        """Do nothing yet: requests are short and answered until ``stop``."""

    async def stop(self, grace_s: float) -> None:
        """Take no more connections, let requests end within ``grace_s``, and cancel the rest."""
        serving, self._serving = self._serving, None
        if serving is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_s))
        self._server.should_exit = True
        await serving

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it; uvicorn's own limit answers without a reason, and nobody counts it."""
        full = len(self._server.server_state.connections) > self._connections_max
        await (self._refusal if full and self._refusal else self._app)(scope, receive, send)

    def _bound(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # asyncio switches Nagle's algorithm off only where the protocol is named; with it every answer waits 40 ms for
        # the client's delayed acknowledgement.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._port_wanted))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            message = f"cannot listen on {self._host}:{self._port_wanted}: {error.strerror}"
            raise OSError(error.errno, message) from error
        return listener
