"""A channel whose calls go over the newest certificate, whatever the stubs were made of.

Stubs take their methods from a channel once. Here such a method looks up the channel at each call: when the files
changed, the next call opens a new connection, and calls that run on the old one may end.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc

OLD_CHANNEL_GRACE_S = 60.0
"""Longest that a call may go on over a connection whose certificate was renewed."""


class RotatingChannel(grpc.aio.Channel):
    """Wraps channels made by ``make``; a new one is made for the first call after ``renewed`` says so."""

    def __init__(self, make: Callable[[], grpc.aio.Channel], renewed: Callable[[], bool]) -> None:
        self._make = make
        self._renewed = renewed
        self._current = make()
        self._closing: set[asyncio.Task[None]] = set()

    def current(self) -> grpc.aio.Channel:
        """Return the channel for a call that begins."""
        if self._renewed():
            old, self._current = self._current, self._make()
            task = asyncio.get_running_loop().create_task(old.close(OLD_CHANNEL_GRACE_S), name="close channel")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        return self._current

    async def __aenter__(self) -> Self:
        """Do nothing: a channel is open once it exists."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it, and what was left of earlier ones."""
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Close it, and what was left of earlier ones."""
        for task in tuple(self._closing):
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._current.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Return the state of the present connection."""
        return self.current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the present connection is in another state."""
        await self._current.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the present connection takes calls."""
        await self.current().channel_ready()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - handed on unread, as gRPC's stubs pass it
        """Return a method of one request and one answer."""
        return _Method(self, "unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - handed on unread, as gRPC's stubs pass it
        """Return a method of one request and many answers."""
        return _Method(self, "unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - handed on unread, as gRPC's stubs pass it
        """Return a method of many requests and one answer."""
        return _Method(self, "stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - handed on unread, as gRPC's stubs pass it
        """Return a method of many requests and many answers."""
        return _Method(self, "stream_stream", args, kwargs)


class _Method:
    """A method of a stub, bound anew where the channel is another one."""

    def __init__(self, owner: RotatingChannel, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._owner = owner
        self._kind, self._args, self._kwargs = kind, args, kwargs
        self._channel: grpc.aio.Channel | None = None
        self._bound: Any = None

    def __call__(self, *args: object, **kwargs: object) -> object:
        channel = self._owner.current()
        if channel is not self._channel:
            self._channel, self._bound = channel, getattr(channel, self._kind)(*self._args, **self._kwargs)
        return self._bound(*args, **kwargs)
