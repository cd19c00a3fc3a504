"""Readings that were acknowledged and are not settled yet, counted where they lie.

In a custody stream a message is settled when it lies at or below the position of its district. Counting by the headers of
messages begins at the lowest floor of all partitions: so it is right however districts, partitions and lanes stand to each
other.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from maasloop.bus.columns import READINGS_HEADER
from maasloop.bus.connection import Bus
from maasloop.bus.pull import Delivery, Pull
from maasloop.bus.streams import Durable
from maasloop.bus.subjects import (
    CHIRPSTACK_UPLINKS,
    MQTT_STREAM,
    MQTT_UPLINKS,
    Fact,
    UplinkKind,
    parse_fact,
    stored_uplink,
)
from maasloop.bus.tenants import ALONE, Tenant
from maasloop.core.errors import InvalidArgument, Unavailable
from maasloop.core.reasons import Reason
from maasloop.timeseries.ports.accounting import Settled

COUNT_TIMEOUT_S = 10.0
OUTSTANDING_MAX = 1_024
FORGOTTEN_AFTER_S = 30
NANOSECONDS = 1_000_000_000
UNKNOWN_DISTRICT = "unknown"
"""District of messages whose subject says none."""
_RESPONSES = {UplinkKind.RESPONSES_JSON, UplinkKind.RESPONSES_PB}


class StreamCounter:
    """Counts what lies in streams, and what the MQTT listener holds."""

    def __init__(
        self, bus: Bus, facts: Mapping[str, Fact], service: str, tenants: Callable[[], Sequence[Tenant]] = lambda: ALONE
    ) -> None:
        """``facts`` says by stream what travels on it; ``service`` is who asks; ``tenants`` says whose devices there are."""
        self._tenants = tenants
        self._bus = bus
        self._facts = facts
        self._service = service

    async def in_stream(self, stream: str, settled: Settled, district: str) -> int:
        """Return the readings of a stream's messages that are not settled; empty district = all."""
        info = await self._ask(f"STREAM.INFO.{stream}", {})
        if settled.created != str(info["created"]):
            settled = Settled("", {})
        if info["state"]["last_seq"] <= settled.floor:
            return 0
        fact = self._facts[stream]
        subject = fact.wildcard(district) if district else fact.wildcard()
        try:
            async with (
                asyncio.timeout(COUNT_TIMEOUT_S),
                self._consumer(stream, subject, settled.floor) as (name, behind),
            ):
                return await self._count(stream, name, behind, settled)
        except TimeoutError:
            raise _lost(f"the messages of {stream} could not be counted in {COUNT_TIMEOUT_S:g} s") from None

    async def _count(self, stream: str, name: str, pending: int, settled: Settled) -> int:
        readings = 0
        async with Pull(self._bus, Durable(name, stream, self._service), outstanding_max=OUTSTANDING_MAX) as pull:
            while pending and (taken := await pull.take(OUTSTANDING_MAX, wait_s=1.0)):
                readings += sum(_readings(each) for each in taken if not _is_settled(each, settled))
                pending = taken[-1].pending
        return readings

    async def at_door(self, district: str) -> int:
        """Return the payloads that the MQTT listener acknowledged and ingest did not take yet; each counts as one.

        An uplink of a network server names no district: it waits in the balance of all, and of what has none.
        """
        devices = 0
        for tenant in self._tenants():
            waiting = {subject: count async for subject, count in self._held(MQTT_UPLINKS, tenant)}
            devices += sum(count for subject, count in waiting.items() if _is_observation(subject, district))
        if district not in {"", UNKNOWN_DISTRICT}:
            return devices
        return devices + sum([count async for _, count in self._held(CHIRPSTACK_UPLINKS, ALONE[0])])

    async def _held(self, subjects: str, tenant: Tenant) -> AsyncIterator[tuple[str, int]]:
        """Yield the subjects that messages of the MQTT listener lie on, with how many."""
        offset, total = 0, 1
        while offset < total:
            request = {"subjects_filter": subjects, "offset": offset}
            answer = await self._bus.api(f"STREAM.INFO.{MQTT_STREAM}", request, tenant=tenant)
            if "error" in answer:
                # Nobody has connected to the listener yet.
                return
            found = answer["state"].get("subjects") or {}
            for subject, count in found.items():
                yield subject, count
            offset, total = offset + len(found), int(answer.get("total", 0)) if found else 0

    @asynccontextmanager
    async def _consumer(self, stream: str, subject: str, after: int) -> AsyncIterator[tuple[str, int]]:
        config = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": after + 1,
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subjects": [subject],
            "inactive_threshold": FORGOTTEN_AFTER_S * NANOSECONDS,
            "mem_storage": True,
            "headers_only": True,
        }
        answer = await self._ask(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": config})
        name = str(answer["name"])
        try:
            yield name, int(answer["num_pending"])
        finally:
            await self._bus.api(f"CONSUMER.DELETE.{stream}.{name}")

    async def _ask(self, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = await self._bus.api(verb, body)
        if "error" in answer:
            raise _lost(f"{verb}: {answer['error'].get('description')}")
        return answer


def _readings(delivery: Delivery) -> int:
    told = delivery.headers.get(READINGS_HEADER, "0")
    return int(told) if told.isdigit() else 0


def _is_settled(delivery: Delivery, settled: Settled) -> bool:
    try:
        district = parse_fact(delivery.subject).district
    except InvalidArgument:
        district = UNKNOWN_DISTRICT
    return settled.holds(district, delivery.stream_sequence)


def _is_observation(subject: str, district: str) -> bool:
    try:
        uplink = stored_uplink(subject)
    except InvalidArgument:
        return False
    return uplink.kind not in _RESPONSES and district in {"", uplink.district}


def _lost(why: str) -> Unavailable:
    return Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, why, {"neighbour": "nats"})
