"""What a tenant that leaves had on NATS: its streams are deleted, and the account goes behind them.

The server closes every connection of an account that it is told to delete, and would leave the account's streams on disk.
"""

import json

from maasloop.core.errors import FailedPrecondition
from maasloop.core.reasons import Reason

from .connection import Bus
from .rights import MQTT_PULLED
from .tenants import Tenant

ANSWER_TIMEOUT_S = 10.0


async def delete_streams(bus: Bus, tenant: Tenant) -> None:
    """Delete the streams of the account of a tenant's devices; ``bus`` is a user of it.

    Refuses, with ``FailedPrecondition``, while uplinks wait there that were acknowledged and ingest did not take.
    """
    waiting = 0
    for durable in map(tenant.durable, MQTT_PULLED):
        found = await bus.api(f"CONSUMER.INFO.{durable.stream}.{durable.name}")
        waiting += int(found.get("num_pending", 0)) + int(found.get("num_ack_pending", 0))
    if waiting:
        message = f"ingest has not taken {waiting} uplinks of {tenant.name} yet"
        raise FailedPrecondition(Reason.RESOURCE_IN_USE, message, {"referrer": "uplinks"})
    for stream in (await bus.api("STREAM.NAMES")).get("streams") or ():
        await bus.api(f"STREAM.DELETE.{stream}")


async def delete_account(bus: Bus, request: str) -> None:
    """Tell the server, as the user ``accounts``, to forget an account; ``request`` is what ``City.removal`` signed."""
    answer = json.loads(await bus.ask("$SYS.REQ.CLAIMS.DELETE", request.encode(), timeout_s=ANSWER_TIMEOUT_S))
    if "error" in answer:
        message = f"NATS did not delete the account: {answer['error'].get('description')}"
        raise FailedPrecondition(Reason.STATE_FORBIDS, message, {"state": "NATS"})
