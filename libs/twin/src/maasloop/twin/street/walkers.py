"""People on foot at the signalled crossings of a running simulation: who stands at the kerb or is about to."""

from collections.abc import Iterator
from dataclasses import dataclass

from maasloop.twin.street.sumo import libsumo

from .site import Junction, Site

STANDING_MPS = 0.5


@dataclass(frozen=True)
class Walker:
    """One person at a crossing that has not been entered; ``crossing`` as the network names it."""

    person: str
    junction: Junction
    group: str
    crossing: str
    speed_mps: float

    @property
    def standing(self) -> bool:
        """Tell whether the person waits."""
        return self.speed_mps < STANDING_MPS


class Kerbs:
    """The places in front of every signalled crossing of a site."""

    def __init__(self, site: Site) -> None:
        """Know the crossings."""
        self._crossings = {
            crossing.edge: (junction, group.id)
            for junction in site.junctions
            for group in junction.network.groups
            for crossing in group.crossings
        }

    def see(self) -> Iterator[Walker]:
        """Return everybody whose next step is onto a crossing."""
        for person in libsumo.person.getIDList() if self._crossings else ():
            if not str(libsumo.person.getRoadID(person)).startswith(":"):
                continue
            crossing = str(libsumo.person.getNextEdge(person))
            known = self._crossings.get(crossing)
            if known is not None:
                junction, group = known
                yield Walker(str(person), junction, group, crossing, float(libsumo.person.getSpeed(person)))
