"""What the passing of time does to a district: overrides are renewed, and what is over is forgotten."""

from maasloop.actuation.domain import holding
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.district import District, Moment


class PassTime:
    """Looks at everything in force once a second."""

    def __init__(self, city: City) -> None:
        """Work on the city's state."""
        self._city = city

    def __call__(self, district: District, moment: Moment) -> Batch:
        """Ask again for what overrides hold, and forget leases, lamp levels and overrides that are over."""
        batch = holding.refresh(self._city, district, moment)
        for device in [name for name, one in district.holders.items() if one.until_us <= moment.street_us]:
            del district.holders[device]
        for device in [name for name, one in district.lamp_states.items() if one.expire_us <= moment.street_us]:
            del district.lamp_states[device]
        for name in [name for name, one in district.overrides.items() if one.end_us <= moment.street_us]:
            del district.overrides[name]
        return batch
