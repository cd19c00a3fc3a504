"""nats-py's client, with what it does wrong put right (2.16.0); each place says what.

What listeners do not want is dropped here too, before it costs anything.
"""

import asyncio

from nats.aio.client import Client
from nats.errors import StaleConnectionError

from .transport import SocketTransport

_NOT_HIM = "authentication "
"""In what the server says before it closes the link of a user who was revoked or whose token has run out."""


class MendedClient(Client):
    """A client that is not deaf after a broker stood still."""

    def __init__(self) -> None:
        """Drop nothing yet."""
        super().__init__()
        self._transport = self._link = SocketTransport()
        self.unwanted: dict[int, bytes] = {}
        """By the id of a subscription, bytes in the headers of what it does not want: most of what MQTT devices send."""

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        mark = self.unwanted.get(sid)
        if mark is None or not headers or mark not in headers:
            # A subject is bytes to the server and to whoever may publish below a prefix; one that is no text would end the
            # reader, and with it the link, each time it is delivered. Escaped it is a subject that nobody knows.
            await super()._process_msg(sid, _text(subject), _text(reply), data, headers)

    async def _process_err(self, err_msg: str) -> None:
        # Whoever was revoked, or whose token ran out, would be closed for good, though its file may hold another by then.
        if self.is_connected and _NOT_HIM in err_msg.lower():
            await self._process_op_err(StaleConnectionError())
            return
        await super()._process_err(err_msg)

    async def _process_pong(self) -> None:
        # A ping that was given up is still answered, and its future, which is cancelled, would end the reader.
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _read_loop(self) -> None:
        # What the last link left of a message would become the beginning of the next one, which its reader then took for
        # whole. The client means to forget it when it connects again, but asks for a state that it has just left.
        self._ps.reset()
        await super()._read_loop()
        # An error that it does not expect ends the reader and nothing else, after which probes seem to succeed.
        reader = asyncio.current_task()
        if self.is_connected and reader is not None and not reader.cancelling():
            await self.abort()

    async def abort(self) -> None:
        """Close the socket without waiting for what is stuck in it, and connect again."""
        self._link.abort()
        await self._process_op_err(StaleConnectionError())

    async def give_up(self) -> None:
        """Close without sending what is pending; closing on a link that is gone, or stuck, would raise, or wait for it."""
        self._pending, self._pending_data_size = [], 0
        self._link.abort()
        await self.close()


def _text(subject: bytes) -> bytes:
    return subject if subject.isascii() else subject.decode("utf-8", "backslashreplace").encode()
