"""Who of a page may be seen is who may be seen one by one."""

import numpy as np
import pytest

from maasloop.core.clock import FakeClock
from maasloop.runtime.permitting import ConsentGate, consent_projection
from maasloop.runtime.projection import Projection
from maasloop.timeseries.adapters.visibility import ProjectedVisibility
from maasloop.timeseries.domain.series import Facts, PersonalDevice

PERSON = "districts/noord/devices/wristband"


@pytest.mark.parametrize("personal", [[False, False, False], [False, True, False]])
@pytest.mark.parametrize("of_persons", [[], [PERSON], ["districts/zuid/devices/wristband"]])
def test_a_page_shows_who_may_be_seen(personal: list[bool], of_persons: list[str]) -> None:
    """Devices of persons who do not consent and series that were personal once are left out, all others are there."""
    clock = FakeClock()
    known: Projection[Facts] = Projection("registry", clock)
    known.snapshot(1, {name: PersonalDevice("anna", "commuting") for name in of_persons})
    visibility = ProjectedVisibility(known, ConsentGate(consent_projection(clock), clock))
    devices = ["loop", "wristband", "lamp"]

    shown = visibility.shown("noord", devices, np.array(personal))

    asked = zip(devices, personal, strict=True)
    assert shown.tolist() == [
        place for place, (device, each) in enumerate(asked) if visibility.visible("noord", device, personal=each)
    ]
    assert len(shown) == 3 - (any(personal) or PERSON in of_persons)
