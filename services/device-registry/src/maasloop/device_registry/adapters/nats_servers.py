"""The message servers, asked by a user of their system account that may close and list connections and nothing else."""

import json
from typing import Any

from maasloop.bus.connection import Bus
from maasloop.core.errors import Unavailable
from maasloop.device_registry.ports import Closed, ConnectionKey

ANSWER_TIMEOUT_S = 1.0
PAGE = 1_024
"""Connections of one answer."""


class NatsServers:
    """Every server of the cluster, by its id."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def close(self, key: ConnectionKey) -> Closed:
        """Close a connection, and look whether it is gone: the server closes behind its answer."""
        wanted = {"cid": key.connection}
        if await self._ask(key.server, "KICK", wanted) is None:
            return Closed.SILENT
        listed = await self._ask(key.server, "CONNZ", wanted)
        if listed is None:
            return Closed.SILENT
        return Closed.OPEN if listed.get("data", {}).get("connections") else Closed.GONE

    async def connections(self, server: str) -> frozenset[int] | None:
        """Return the connections that a server has."""
        found: set[int] = set()
        while True:
            # Pages may shift while they are read: one that is missed so is found gone by mistake only if it was listed
            # before a page and ended meanwhile, since connections are sorted by their number, which rises.
            listed = await self._ask(server, "CONNZ", {"sort": "cid", "offset": len(found), "limit": PAGE})
            if listed is None:
                return None
            page = [int(each["cid"]) for each in listed.get("data", {}).get("connections") or ()]
            found.update(page)
            if len(page) < PAGE:
                return frozenset(found)

    async def _ask(self, server: str, verb: str, wanted: dict[str, Any]) -> dict[str, Any] | None:
        try:
            subject = f"$SYS.REQ.SERVER.{server}.{verb}"
            answer = await self._bus.ask(subject, json.dumps(wanted).encode(), timeout_s=ANSWER_TIMEOUT_S)
        except Unavailable:
            return None
        found: dict[str, Any] = json.loads(answer)
        return found
