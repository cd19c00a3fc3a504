"""What the registry is told about a junction of the street that speaks RSMP: how it is supervised, and what is open."""

from typing import Any

from maasloop.twin.street.bands import FREE, hold_input, plans_of
from maasloop.twin.street.site import Junction

from .street_cabinet import COMPONENT

LEVEL = "2"
"""Of the security code that plans, bands and inputs need."""
INTERVAL_S = 1
"""Of signal states, and between two adjustments."""


def registered(junction: Junction, site_id: str, security_code: str) -> dict[str, Any]:
    """Return the configuration of the controller's device: its data sheet with the sections ``rsmp`` and ``controls``.

    ``security_code`` is the reference of a secret. Loops are none of the site's: they have a detector unit of their own.
    """
    plans = plans_of(junction.network, junction.local)
    bands = {number: enumerate(plan.stages, start=1) for number, plan in plans.items()}
    inputs = hold_input(len(plans[FREE].stages)) if FREE in plans else 0
    rsmp = {
        "site_ids": [site_id],
        "controller": COMPONENT,
        "signal_groups": [group.id for group in junction.network.groups],
        "security_codes": {LEVEL: security_code},
        "status_interval_s": INTERVAL_S,
        "traffic_interval_s": 0,
    }
    controls = {
        "plans": [
            {"id": number, "bands": [[stage, each.band_max_s] for stage, each in stages]}
            for number, stages in bands.items()
        ],
        "inputs": list(range(1, inputs + 1)),
        "adjustment_interval_s": INTERVAL_S,
    }
    return {**junction.sheet, "rsmp": rsmp, "controls": controls}
