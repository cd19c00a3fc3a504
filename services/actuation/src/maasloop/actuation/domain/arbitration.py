"""Who may say what a target does.

Emergency before operator before safety fallback before priority before adaptive before schedule; the newer one among
equals. Whoever wins holds the target until its request expires.
"""

from dataclasses import dataclass

from maasloop.core.reasons import Reason

from .authority import Authority


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a target, and until when on the district's clock (the lease of its command or override)."""

    authority: Authority
    issuer: str
    until_us: int
    command: str = ""
    """Id of the command that gave the lease; empty for an override."""
    since_us: int = 0
    """Wall time of the request: the newer one wins among equals."""


@dataclass(frozen=True, slots=True)
class Won:
    """The request may take the target."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Another one keeps the target."""

    reason: Reason
    detail: str


Arbitration = Won | Lost


def arbitrate(holder: Holder | None, authority: Authority, issuer: str, street_us: int) -> Arbitration:
    """Decide between who holds a target and who asks for it."""
    if holder is None or holder.until_us <= street_us or holder.issuer == issuer or authority >= holder.authority:
        return Won()
    left_s = (holder.until_us - street_us) / 1_000_000
    detail = f"{holder.issuer} ({holder.authority.name.lower()}) holds it for another {left_s:g} s"
    return Lost(Reason.OUTRANKED, detail)


def stronger(one: Holder | None, other: Holder | None, street_us: int) -> Holder | None:
    """Return the holder in force of two, the stronger one, and the first among equals."""
    found = [holder for holder in (one, other) if holder is not None and holder.until_us > street_us]
    return max(found, key=lambda holder: holder.authority) if found else None
