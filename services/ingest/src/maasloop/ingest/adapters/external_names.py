"""Finds devices by the names that other systems have for them, in the projection of the registry."""

from collections.abc import Callable, Mapping

from maasloop.core.errors import Unavailable
from maasloop.core.ids import DeviceName
from maasloop.core.reasons import Reason
from maasloop.ingest.domain.facts import DeviceFacts, Facts, Named, TypeFacts


class ExternalNames:
    """An index that follows the projection: ``changed`` hears what changed."""

    def __init__(self, get: Callable[[str], Facts | None], ready: Callable[[], bool] = lambda: True) -> None:
        """``get`` returns an item of the projection, ``ready`` tells whether it holds any state."""
        self._get = get
        self._ready = ready
        self._holders: dict[str, str] = {}
        """Resource name by external id."""
        self._names: dict[str, tuple[str, ...]] = {}
        """External ids by resource name."""

    def changed(self, items: Mapping[str, Facts | None]) -> None:
        """Take changes over: names that went before names that came."""
        named = {}
        for name, facts in items.items():
            if isinstance(facts, DeviceFacts) and facts.external_ids:
                named[name] = facts.external_ids
            for external_id in self._names.pop(name, ()):
                if self._holders.get(external_id) == name:
                    del self._holders[external_id]
        for name, external_ids in named.items():
            self._names[name] = external_ids
            self._holders.update(dict.fromkeys(external_ids, name))

    def __call__(self, external_id: str) -> Named | None:
        """Return the device of this name, none where nobody has it."""
        if not self._ready():
            message = "the registry's facts have not arrived"
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, message, {"neighbour": "device-registry"})
        name = self._holders.get(external_id)
        facts = None if name is None else self._get(name)
        if name is None or not isinstance(facts, DeviceFacts):
            return None
        device_type = self._get(f"deviceTypes/{facts.device_type}")
        codec = device_type.uplink_codec if isinstance(device_type, TypeFacts) else None
        return Named(*DeviceName.parse(name), codec)
