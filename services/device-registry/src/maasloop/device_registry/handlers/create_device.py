"""Register a device, in service at once if asked."""

from dataclasses import replace
from typing import cast

from maasloop.core.clock import Clock
from maasloop.core.errors import AlreadyExists, InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.core.requests import Request
from maasloop.device_registry.domain.device import Device, DeviceState, require_gateway, require_names_free
from maasloop.device_registry.domain.resource import Happening, Key, Kind
from maasloop.device_registry.ports import Registry


class CreateDevice:
    """Refuses what exists and what refers to nothing; the same request gives the same answer."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        """Work on this registry."""
        self._registry = registry
        self._clock = clock

    async def __call__(self, wanted: Device, request: Request, *, activate: bool = False) -> Device:
        """Create and return the device."""
        wanted.check()
        async with self._registry.change(request) as change:
            if change.answered is not None:
                return cast("Device", change.answered)
            if await change.find(wanted.key) is not None:
                message = f"{wanted.key} exists"
                raise AlreadyExists(Reason.RESOURCE_EXISTS, message, {"name": str(wanted.key)})
            references = {key: field for field, key in wanted.references()}
            for missing in await change.missing(list(references)):
                metadata = {"field": references[missing], "rule": "reference.exists"}
                raise InvalidArgument(Reason.REQUEST_INVALID, f"{missing} does not exist", metadata)
            if wanted.gateway:
                gateway = await change.find(Key(Kind.DEVICE, wanted.district, wanted.gateway))
                require_gateway(wanted, cast("Device", gateway), speaks_for_others=False)
            if wanted.external_ids:
                require_names_free(wanted, await change.holders(wanted.external_ids))
            now = self._clock.now()
            state = DeviceState.ACTIVE if activate else DeviceState.REGISTERED
            device = replace(wanted, state=state, create_time=now, update_time=now)
            happening = Happening.ACTIVATED if activate else Happening.REGISTERED
            return await change.answer(await change.save(device, happening))
