"""Whose queue it is that stands on an upstream loop, as far as loops tell."""

from collections.abc import Collection, Iterable, Mapping

from .estimate import LaneEstimate

BLOCKING_SHARE_MIN = 0.3
"""A loop that gives a lane so much of what passes it may be covered by that lane's queue."""


def reaches(
    lane: LaneEstimate, lanes: Mapping[str, LaneEstimate], covered: Iterable[Mapping[str, float]], free: Collection[str]
) -> bool:
    """Tell whether the queue of a lane stands on one of the ``covered`` loops, given by their shares.

    Of several whose queue it may be it is the fullest; nobody waits for a ``free`` lane. Where more of those who pass a
    loop go to other lanes and all of these are free, they wait for this one.
    """
    return lane.id not in free and any(_stands_on(lane, lanes, shares, free) for shares in covered)


def _stands_on(
    lane: LaneEstimate, lanes: Mapping[str, LaneEstimate], shares: Mapping[str, float], free: Collection[str]
) -> bool:
    if shares[lane.id] < BLOCKING_SHARE_MIN:
        return lane.standing and all(name in free for name, share in shares.items() if share > shares[lane.id])
    others = (lanes[name] for name, share in shares.items() if share >= BLOCKING_SHARE_MIN and name not in free)
    return all(_filled(lane) >= _filled(other) for other in others)


def _filled(lane: LaneEstimate) -> float:
    return lane.counted / lane.storage_m
