"""What the requests of all services have in common, as their handlers know it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """What makes a repeated request the same one (AIP-155): its id (empty for none), its method, a digest of its body."""

    id: str
    method: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Page[Item]:
    """Some items of a list, and whether more come after the last one."""

    items: Sequence[Item]
    more: bool
