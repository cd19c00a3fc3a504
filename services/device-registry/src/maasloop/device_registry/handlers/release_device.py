"""Trust a device in quarantine again."""

from dataclasses import replace
from typing import cast

from maasloop.core.clock import Clock
from maasloop.core.requests import Request
from maasloop.device_registry.domain.device import Device, released
from maasloop.device_registry.domain.resource import Happening, Key, unchanged
from maasloop.device_registry.ports import Registry


class ReleaseDevice:
    """From here on its credentials let it in and its readings count."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        """Work on this registry."""
        self._registry = registry
        self._clock = clock

    async def __call__(self, key: Key, etag: str, request: Request) -> Device:
        """Release and return the device; an active one stays as it is."""
        async with self._registry.change(request) as change:
            if change.answered is not None:
                return cast("Device", change.answered)
            current = unchanged(Device, await change.find(key), key, etag)
            new = released(current)
            if new is not current:
                new = await change.save(replace(new, update_time=self._clock.now()), Happening.UPDATED)
            return await change.answer(new)
