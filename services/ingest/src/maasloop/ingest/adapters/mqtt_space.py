"""Gives back the space of uplinks that are done with.

An interest stream drops each message when its last consumer acknowledged it, and with synchronous writes every drop
costs the broker as much as a publish. A durable that nobody pulls keeps the uplinks instead, and what all others are
done with is purged in one step. Several instances may do so at once: a purge up to a position that only grows does no
harm. Without a purge the stream fills and withholds PUBACKs, as it does when nobody takes its messages.
"""

import asyncio

import structlog

from maasloop.bus.connection import Bus
from maasloop.bus.streams import MQTT_RESPONSES, MQTT_UPLINKS, Durable
from maasloop.bus.subjects import MQTT_STREAM
from maasloop.bus.subjects import MQTT_UPLINKS as UPLINKS
from maasloop.bus.tenants import ALONE, Tenant
from maasloop.core.errors import Retryable

log = structlog.get_logger(__name__)

PURGE_INTERVAL_S = 0.2
"""A purge holds back every publish while it drops message after message, so it is done often and drops few."""
OWNERS: tuple[Durable, ...] = (MQTT_UPLINKS, MQTT_RESPONSES)
"""Who must be done with an uplink."""


class MqttSpace:
    """Purges the uplinks of the stream in which PUBACKs are made."""

    def __init__(self, bus: Bus, tenant: Tenant = ALONE[0]) -> None:
        """Begin with nothing purged, in the account of a tenant's devices."""
        self._bus = bus
        self._tenant = tenant
        self._purged = 0

    async def run(self) -> None:
        """Purge for ever; a broker that does not answer is asked again."""
        while True:
            try:
                await self()
            except Retryable as error:
                log.debug("mqtt_space_not_purged", reason=error.reason)
            await asyncio.sleep(PURGE_INTERVAL_S)

    async def __call__(self) -> int:
        """Purge once, and return the position up to which everybody is done."""
        stream = await self._bus.api(f"STREAM.INFO.{MQTT_STREAM}", tenant=self._tenant)
        if "error" in stream:
            return 0
        # Asked for before the durables: what lies in the stream by then, they tell of.
        last, first = int(stream["state"]["last_seq"]), int(stream["state"]["first_seq"])
        done = min([await self._done(self._tenant.durable(durable), last) for durable in OWNERS])
        if first <= done and done > self._purged:
            purge = {"filter": UPLINKS, "seq": done + 1}
            answer = await self._bus.api(f"STREAM.PURGE.{MQTT_STREAM}", purge, tenant=self._tenant)
            if "error" not in answer:
                self._purged = done
        return done

    async def _done(self, durable: Durable, last: int) -> int:
        """Return the position up to which a durable has acknowledged everything."""
        found = await self._bus.api(f"CONSUMER.INFO.{durable.stream}.{durable.name}", tenant=self._tenant)
        if "error" in found:
            return 0
        if not found["num_pending"] and not found["num_ack_pending"]:
            return last
        return min(last, int(found["ack_floor"]["stream_seq"]))
