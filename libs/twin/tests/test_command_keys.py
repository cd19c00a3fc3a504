"""A device trusts the keys that came with its credential, and hears of a rotation by asking again."""

import asyncio

import grpc
import pytest

from maasloop.api.device.v1 import credential_pb2
from maasloop.api.device.v1.credential_service_pb2 import FetchCommandKeysRequest
from maasloop.core.clock import SystemClock
from maasloop.identity.command_keys import SigningKey, VerificationKeys
from maasloop.rpc.client import channel
from maasloop.rpc.times import timestamp_from_us
from maasloop.twin.doors.command_keys import GivenKeys

SERVICE = "maasloop.api.device.v1.CredentialService"
WAIT_S = 60
HOUR_US = 3_600_000_000


class _Registry:
    """Hands out a set of keys."""

    def __init__(self) -> None:
        self.keys = VerificationKeys([])

    def given(self) -> credential_pb2.CommandKeys:
        """Return what comes with a credential."""
        end = timestamp_from_us(SystemClock().now_us() + HOUR_US)
        return credential_pb2.CommandKeys(jwk_set=self.keys.json(), expire_time=end)

    def register(self, server: grpc.aio.Server) -> None:
        """Answer the question on a server."""

        async def answer(_request: FetchCommandKeysRequest, _context: object) -> credential_pb2.CommandKeys:
            return self.given()

        method = grpc.unary_unary_rpc_method_handler(
            answer, FetchCommandKeysRequest.FromString, credential_pb2.CommandKeys.SerializeToString
        )
        server.add_registered_method_handlers(SERVICE, {"FetchCommandKeys": method})


@pytest.mark.integration
@pytest.mark.timeout(120)
async def test_a_rotation_is_heard_of() -> None:
    """A key that is not in the set is asked for, and the old one holds on; nobody is trusted before the first set."""
    before, after = SigningKey.make(), SigningKey.make()
    registry, server = _Registry(), grpc.aio.server()
    registry.keys = registry.keys.with_newest(before.private.public_key())
    registry.register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with channel(f"127.0.0.1:{port}") as opened:
        keys = GivenKeys(opened, SystemClock())
        assert keys.find(before.id) is None
        keys.take(registry.given())
        assert keys.find(before.id) is not None

        registry.keys = registry.keys.with_newest(after.private.public_key())
        running = asyncio.create_task(keys.run())
        async with asyncio.timeout(WAIT_S):
            while keys.find(after.id) is None:  # noqa: ASYNC110 - a set of keys has no event
                await asyncio.sleep(0.01)
        assert keys.find(before.id) is not None
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    await server.stop(0)
