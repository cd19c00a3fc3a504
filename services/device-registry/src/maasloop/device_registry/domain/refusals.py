"""Refused clients by the holder whose name they gave: who fails again and again, and why."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from .admission import Refusal
from .credential import Holder

HOLDERS_MAX = 1_000
"""Holders that are counted apart until they are written; what comes beyond is counted together."""


@dataclass(frozen=True, slots=True)
class RefusedHolder:
    """Refusals in the name of one holder since the last time that they were written."""

    holder: Holder
    count: int
    last_time: datetime
    last_reason: Refusal


@dataclass(frozen=True, slots=True)
class Refusals:
    """What is known of a holder's refusals, by all replicas."""

    count: int
    hour_count: int
    """In the hour that runs, of UTC."""
    last_time: datetime
    last_reason: str


class RefusalTally:
    """Counts in memory, within bounds whoever knocks."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._refused: dict[Holder, RefusedHolder] = {}

    def note(self, user_name: str, reason: Refusal, now: datetime) -> bool:
        """Count a refusal; false where no holder has such a name, or too many others are counted."""
        holder = Holder.of_user_name(user_name)
        if holder is None:
            return False
        known = self._refused.get(holder)
        if known is None:
            if len(self._refused) >= HOLDERS_MAX:
                return False
            known = RefusedHolder(holder, 0, now, reason)
        self._refused[holder] = replace(known, count=known.count + 1, last_time=now, last_reason=reason)
        return True

    def taken(self) -> Sequence[RefusedHolder]:
        """Return what was counted, ordered by holder, and begin anew."""
        found = sorted(self._refused.values(), key=lambda each: each.holder)
        self._refused = {}
        return found

    def put_back(self, refused: Sequence[RefusedHolder]) -> None:
        """Count again what could not be written."""
        for each in refused:
            known = self._refused.get(each.holder)
            if known is not None:
                self._refused[each.holder] = replace(known, count=known.count + each.count)
            elif len(self._refused) < HOLDERS_MAX:
                self._refused[each.holder] = each
