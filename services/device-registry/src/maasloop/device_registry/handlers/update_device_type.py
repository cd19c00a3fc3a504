"""Change a device type; what its devices were able to observe they stay able to observe."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any, cast

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason
from maasloop.core.requests import Request
from maasloop.device_registry.domain.catalogue import OBSERVED_PROPERTIES_MAX, DeviceType
from maasloop.device_registry.domain.resource import Happening, refuse, unchanged
from maasloop.device_registry.ports import Registry

CHANGEABLE = frozenset({"display_name", "observed_properties", "capabilities", "silence_after", "uplink_codec"})


class UpdateDeviceType:
    """Changes the named fields; observed properties are only added."""

    def __init__(self, registry: Registry) -> None:
        """Work on this registry."""
        self._registry = registry

    async def __call__(self, wanted: DeviceType, changed: Collection[str], etag: str, request: Request) -> DeviceType:
        """Change and return the device type."""
        if unknown := sorted(set(changed) - CHANGEABLE):
            raise refuse("update_mask", f"an update cannot change {', '.join(unknown)}", "update_mask.known")
        async with self._registry.change(request) as change:
            if change.answered is not None:
                return cast("DeviceType", change.answered)
            current = unchanged(DeviceType, await change.find(wanted.key), wanted.key, etag)
            new = _merged(current, wanted, changed)
            new.check()
            for missing in await change.missing([key for _, key in new.references()]):
                metadata = {"field": "observed_properties", "rule": "reference.exists"}
                raise InvalidArgument(Reason.REQUEST_INVALID, f"{missing} does not exist", metadata)
            stored = current if new == current else await change.save(new, Happening.UPDATED)
            return await change.answer(stored)


def _merged(current: DeviceType, wanted: DeviceType, changed: Collection[str]) -> DeviceType:
    names = {"silence_after": "silence_after_s"}
    values: dict[str, Any] = {names.get(field, field): getattr(wanted, names.get(field, field)) for field in changed}
    if "uplink_codec" in changed:
        values["uplink_properties"] = wanted.uplink_properties
    observed = values.get("observed_properties", current.observed_properties)
    if removed := sorted(set(current.observed_properties) - set(observed)):
        sentence = f"observed properties are only added; {', '.join(removed)} would go"
        raise refuse("observed_properties", sentence, "observed_properties.additions")
    if len(observed) > OBSERVED_PROPERTIES_MAX:
        sentence = f"a device type has at most {OBSERVED_PROPERTIES_MAX} observed properties"
        raise refuse("observed_properties", sentence, "repeated.max_items")
    return replace(current, **values)
