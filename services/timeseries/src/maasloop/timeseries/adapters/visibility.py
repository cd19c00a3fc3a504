"""Who may be seen: whose a device is by the registry, and what the person permits by the consent gate."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maasloop.runtime.permitting import ConsentGate
from maasloop.runtime.projection import Projection, State
from maasloop.timeseries.domain.series import Facts, PersonalDevice


class ProjectedVisibility:
    """Closed for personal readings wherever there is doubt."""

    def __init__(self, known: Projection[Facts], gate: ConsentGate) -> None:
        """Ask these two projections."""
        self._known = known
        self._gate = gate

    def ready(self) -> bool:
        """Tell whether it is known whose devices are."""
        return self._known.state is State.LIVE or self._known.revision > 0

    def of_person(self, district: str, device: str) -> bool:
        """Tell whether a device belongs to a person."""
        return isinstance(self._known.get(f"districts/{district}/devices/{device}"), PersonalDevice)

    def visible(self, district: str, device: str, *, personal: bool) -> bool:
        """Tell whether readings of a device may be shown now."""
        facts = self._known.get(f"districts/{district}/devices/{device}")
        if isinstance(facts, PersonalDevice):
            return self._gate.permits(facts.data_subject, facts.processing_activity)
        # A series that was personal once and whose person is not known shows nothing.
        return not personal

    def shown(self, district: str, devices: Sequence[str], personal: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return the places of those whose readings may be shown now."""
        before = f"districts/{district}/devices/"
        # Of nobody, as nearly all are: then there is nothing to be asked one by one.
        if not personal.any() and self._known.items.keys().isdisjoint([before + device for device in devices]):
            return np.arange(len(devices))
        asked = zip(devices, personal.tolist(), strict=True)
        return np.flatnonzero([self.visible(district, device, personal=each) for device, each in asked])
