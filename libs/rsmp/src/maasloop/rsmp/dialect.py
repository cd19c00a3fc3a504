"""What differs between the versions of RSMP core, as data.

A link speaks the newest version that both sides named in their Version messages; ``3.2`` and ``3.2.0`` are one version.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple, Self

from .errors import MessageInvalid


class Release(NamedTuple):
    """A version of RSMP core or of an exchange list; releases compare by age."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        """Return the version with three numbers."""
        return f"{self.major}.{self.minor}.{self.patch}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``3.2`` or ``3.1.5``; a missing last number is 0.

        Raises:
            MessageInvalid: the text is no version.
        """
        found = _VERSION.fullmatch(text)
        if found is None:
            message = f"a version like 3.1.5 is needed, got {text[:20]!r}"
            raise MessageInvalid(message)
        return cls(int(found[1]), int(found[2]), int(found[3] or 0))


class OnChange(Enum):
    """How a subscription says whether each change is to be sent (``sOc``)."""

    OMITTED = "omitted"
    """There is no such element; an interval of 0 means on change."""
    TEXT = "text"
    """``"True"`` or ``"False"``, as some sites want it whatever the standard says."""
    BOOLEAN = "boolean"
    """A JSON boolean."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one version of RSMP core is written and read."""

    release: Release
    state_bits_as_text: bool = False
    """The eight bits of an aggregated status are ``"true"`` and ``"false"`` rather than JSON booleans."""
    values_may_be_null: bool = True
    """A status of a component that does not exist has quality ``undefined`` and the value ``null``."""
    requests_state: bool = True
    """A supervisor may request alarms and aggregated statuses."""
    on_change: OnChange = OnChange.BOOLEAN
    case_sensitive: bool = True
    """Words are spelled exactly; before 3.2 peers differed in their capitals."""
    arrays: bool = True
    """A value may be an array."""
    buffered_is_old: bool = True
    """Statuses that were kept while the link was down have quality ``old``."""
    suspended_in_lower_case: bool = False
    """How a suspended alarm is told; core 3.2 changed ``suspended`` to ``Suspended``, and some peers did not."""
    site_first: bool = True
    """The supervisor waits for the site's Version before it sends its own."""


_VERSION = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})(?:\.([0-9]{1,2}))?")

_3_1_5 = Dialect(
    Release(3, 1, 5), case_sensitive=False, arrays=False, buffered_is_old=False, suspended_in_lower_case=True
)
_3_1_4 = replace(_3_1_5, release=Release(3, 1, 4), requests_state=False, on_change=OnChange.OMITTED)
_3_1_3 = replace(_3_1_4, release=Release(3, 1, 3), site_first=False)
_3_1_2 = replace(_3_1_3, release=Release(3, 1, 2), state_bits_as_text=True, values_may_be_null=False)
_3_2 = tuple(Dialect(Release(3, 2, patch)) for patch in range(3))

DIALECTS: Mapping[Release, Dialect] = MappingProxyType(
    {each.release: each for each in (_3_1_2, _3_1_3, _3_1_4, _3_1_5, *_3_2)}
)
"""The versions of RSMP core that this package speaks."""

NEWEST = _3_2[-1]
"""Version, MessageAck and MessageNotAck are the same in all; they are read with this one before a version is agreed."""


def common_dialect(offered: Iterable[str], spoken: Iterable[Release]) -> Dialect | None:
    """Return the newest dialect that a peer offers and we speak; what we cannot read among the offers is passed over."""
    theirs = set()
    for text in offered:
        try:
            theirs.add(Release.parse(text))
        except MessageInvalid:
            continue
    both = theirs & set(spoken) & set(DIALECTS)
    return DIALECTS[max(both)] if both else None
