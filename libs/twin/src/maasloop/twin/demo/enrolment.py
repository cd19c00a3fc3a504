"""Lets every device of the district that speaks MQTT enrol, so that each gets in by a credential of its own."""

import asyncio
from collections.abc import Callable, Collection

import grpc

from maasloop.api.device.v1.credential_pb2 import CommandKeys
from maasloop.api.device.v1.credential_service_pb2 import EnrolRequest, GenerateEnrolmentClaimsRequest
from maasloop.api.device.v1.credential_service_pb2_grpc import CredentialServiceStub
from maasloop.core.ids import DeviceName, DistrictName
from maasloop.rpc.client import call

ENROLLING_MAX = 8
"""Devices that enrol at a time."""
RATE_PER_MINUTE = 10_000


async def enrol(
    channel: grpc.aio.Channel,
    district: str,
    devices: Collection[str],
    given: Callable[[CommandKeys], None] | None = None,
) -> dict[str, str]:
    """Take a batch of claims as an installer does, use one for each device, and return the passwords by device.

    ``given`` is told of the keys of commands that come with each credential.
    """
    stub = CredentialServiceStub(channel)
    room = asyncio.Semaphore(ENROLLING_MAX)
    asked = GenerateEnrolmentClaimsRequest(
        parent=str(DistrictName(district)), devices=devices, rate_per_minute=RATE_PER_MINUTE
    )
    claims = (await call(stub.GenerateEnrolmentClaims, asked)).claims

    async def enrolled(name: str, claim: str) -> tuple[str, str]:
        async with room:
            issued = await call(stub.Enrol, EnrolRequest(name=name, claim=claim))
        if given is not None:
            given(issued.command_keys)
        return DeviceName.parse(name).device, issued.password

    return dict(await asyncio.gather(*(enrolled(each.device, each.claim) for each in claims)))
