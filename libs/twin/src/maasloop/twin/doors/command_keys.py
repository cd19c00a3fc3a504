"""The keys by which devices check commands, as the registry hands them out."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc
import structlog

from maasloop.api.device.v1.credential_pb2 import CommandKeys
from maasloop.api.device.v1.credential_service_pb2 import FetchCommandKeysRequest
from maasloop.api.device.v1.credential_service_pb2_grpc import CredentialServiceStub
from maasloop.core.clock import Clock
from maasloop.core.errors import MaasloopError
from maasloop.identity.command_keys import VerificationKeys
from maasloop.rpc.client import call
from maasloop.rpc.times import us_from_timestamp

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PAUSE_S = 2.0
"""Shortest time between two questions, so that forged commands do not become calls."""

log = structlog.get_logger(__name__)


class GivenKeys:
    """The set that came with a credential; asked for again at its end, and when a command names a key it has not."""

    def __init__(self, channel: grpc.aio.Channel, clock: Clock) -> None:
        """Begin with no key: until one is given or fetched, no command is obeyed."""
        self._stub = CredentialServiceStub(channel)
        self._clock = clock
        self._keys = VerificationKeys([])
        self._end_us = 0
        self._missed = asyncio.Event()

    def find(self, key_id: str) -> "Ed25519PublicKey | None":
        """Return the key of that id; one that is missing is asked for, and the command that comes again finds it."""
        found = self._keys.find(key_id)
        if found is None:
            self._missed.set()
        return found

    def take(self, given: CommandKeys) -> None:
        """Trust what came with a credential, and nothing else any more."""
        self._keys = VerificationKeys.parse(given.jwk_set)
        self._end_us = us_from_timestamp(given.expire_time)

    async def fetch(self) -> None:
        """Ask the registry."""
        self.take(await call(self._stub.FetchCommandKeys, FetchCommandKeysRequest()))

    async def run(self) -> None:
        """Ask again whenever it is time, for ever; a registry that does not answer is asked later."""
        while True:
            left_s = max(0.0, (self._end_us - self._clock.now_us()) / 1_000_000)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._missed.wait(), left_s)
            self._missed.clear()
            try:
                await self.fetch()
            except MaasloopError as error:
                log.warning("command_keys_not_fetched", reason=error.reason)
            await self._clock.sleep(PAUSE_S)
