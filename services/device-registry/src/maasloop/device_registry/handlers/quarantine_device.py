"""Take trust from a device for the time being."""

from dataclasses import replace
from typing import cast

from maasloop.core.clock import Clock
from maasloop.core.requests import Request
from maasloop.device_registry.domain.device import Device, quarantined
from maasloop.device_registry.domain.resource import Happening, Key, unchanged
from maasloop.device_registry.ports import Registry


class QuarantineDevice:
    """From here on it cannot connect and its readings are refused; its credentials wait for its release."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        """Work on this registry."""
        self._registry = registry
        self._clock = clock

    async def __call__(self, key: Key, etag: str, request: Request) -> Device:
        """Put the device into quarantine and return it; one that is there stays as it is."""
        async with self._registry.change(request) as change:
            if change.answered is not None:
                return cast("Device", change.answered)
            current = unchanged(Device, await change.find(key), key, etag)
            new = quarantined(current)
            if new is not current:
                new = await change.save(replace(new, update_time=self._clock.now()), Happening.UPDATED)
            return await change.answer(new)
