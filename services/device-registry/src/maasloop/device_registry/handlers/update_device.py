"""Change what is said about a device; its type and its state are changed by nobody or by other calls."""

from collections.abc import Collection
from dataclasses import replace
from typing import cast

from maasloop.core.clock import Clock
from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.core.requests import Request
from maasloop.device_registry.domain.device import Device, fields_set, require_gateway, require_names_free, updated
from maasloop.device_registry.domain.resource import Happening, Key, Kind, unchanged
from maasloop.device_registry.ports import Change, Registry


class UpdateDevice:
    """Changes the named fields, all that are set if none is named."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        """Work on this registry."""
        self._registry = registry
        self._clock = clock

    async def __call__(self, wanted: Device, changed: Collection[str], etag: str, request: Request) -> Device:
        """Change and return the device; an update that changes nothing has no event."""
        async with self._registry.change(request) as change:
            if change.answered is not None:
                return cast("Device", change.answered)
            current = unchanged(Device, await change.find(wanted.key), wanted.key, etag)
            new = updated(current, wanted, changed or fields_set(wanted))
            if new == current:
                return await change.answer(current)
            new.check()
            await _check_gateway(change, new)
            if new.external_ids:
                require_names_free(new, await change.holders(new.external_ids))
            new = replace(new, update_time=self._clock.now())
            return await change.answer(await change.save(new, Happening.UPDATED))


async def _check_gateway(change: Change, device: Device) -> None:
    if not device.gateway:
        return
    key = Key(Kind.DEVICE, device.district, device.gateway)
    gateway = await change.find(key)
    if not isinstance(gateway, Device):
        metadata = {"field": "gateway", "rule": "reference.exists"}
        raise InvalidArgument(Reason.REQUEST_INVALID, f"{key} does not exist", metadata)
    require_gateway(device, gateway, speaks_for_others=await change.dependants(device.key) > 0)
