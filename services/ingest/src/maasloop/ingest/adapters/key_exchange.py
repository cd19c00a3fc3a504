"""The registry, which gives a token for the API key of a program that can send nothing else."""

import hashlib

import grpc.aio

from maasloop.api.device.v1.access_service_pb2 import ExchangeApiKeyRequest
from maasloop.api.device.v1.access_service_pb2_grpc import AccessServiceStub
from maasloop.core.clock import Clock
from maasloop.rpc import client

KEPT_S = 240.0
"""A token is asked for again after this time, well before it ends."""
KEPT_MAX = 1_024


class KeyExchange:
    """Exchanges keys, and keeps tokens for a while."""

    def __init__(self, channel: grpc.aio.Channel, clock: Clock) -> None:
        self._stub = AccessServiceStub(channel)
        self._clock = clock
        self._kept: dict[bytes, tuple[str, float]] = {}

    async def token(self, secret: str) -> str:
        """Return a token for a key, or raise ``Unauthenticated``."""
        digest, now_s = hashlib.sha256(secret.encode()).digest(), self._clock.monotonic_s()
        kept = self._kept.get(digest)
        if kept is not None and kept[1] > now_s:
            return kept[0]
        answer = await client.call(self._stub.ExchangeApiKey, ExchangeApiKeyRequest(secret=secret))
        while len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[digest] = (answer.access_token, now_s + KEPT_S)
        return answer.access_token
