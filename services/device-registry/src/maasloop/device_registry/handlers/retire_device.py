"""Take a device out of service for good."""

from dataclasses import replace
from typing import cast

from maasloop.core.clock import Clock
from maasloop.core.errors import FailedPrecondition
from maasloop.core.reasons import Reason
from maasloop.core.requests import Request
from maasloop.device_registry.domain.device import Device, retired
from maasloop.device_registry.domain.resource import Happening, Key, unchanged
from maasloop.device_registry.ports import Registry


class RetireDevice:
    """Its readings are refused from here on; its name is never used again."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        """Work on this registry."""
        self._registry = registry
        self._clock = clock

    async def __call__(self, key: Key, etag: str, request: Request) -> Device:
        """Retire and return the device; a gateway only when it speaks for nobody any more."""
        async with self._registry.change(request) as change:
            if change.answered is not None:
                return cast("Device", change.answered)
            current = unchanged(Device, await change.find(key), key, etag)
            new = retired(current)
            if new is not current:
                if dependants := await change.dependants(key):
                    message = f"{key} speaks for {dependants} devices; retire or move them first"
                    raise FailedPrecondition(Reason.RESOURCE_IN_USE, message, {"referrer": "gateway"})
                new = await change.save(replace(new, update_time=self._clock.now()), Happening.RETIRED)
            return await change.answer(new)
