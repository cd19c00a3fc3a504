"""An override: a person holds a setpoint on a device or a group until an end time."""

from dataclasses import dataclass, replace

from .arbitration import Holder
from .authority import Authority
from .setpoint import Setpoint

LENGTH_MAX_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What is held, where, by whose right and until when."""

    id: str
    district: str
    device: str = ""
    group: str = ""
    setpoint: Setpoint
    authority: Authority
    end_us: int
    """District's clock."""
    justification: str
    create_time_us: int
    """Wall time; the newer one wins among equals."""
    ended_time_us: int = 0
    """Wall time at which it was ended before its time; 0 if it was not."""
    request_digest: str = ""

    def in_force(self, street_us: int) -> bool:
        """Tell whether it holds at a moment of the district's clock."""
        return self.ended_time_us == 0 and street_us < self.end_us

    @property
    def issuer(self) -> str:
        """How its commands name it."""
        return f"overrides/{self.id}"

    @property
    def holder(self) -> Holder:
        """Return its claim in arbitration."""
        return Holder(self.authority, self.issuer, self.end_us, since_us=self.create_time_us)


def ended(override: Override, *, wall_us: int) -> Override:
    """Return the override as ended now; an ended one stays as it is."""
    return override if override.ended_time_us else replace(override, ended_time_us=wall_us)
