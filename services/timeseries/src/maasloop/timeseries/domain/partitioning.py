"""Which districts a partition of the writers has.

A partition is what one process writes: a part of the districts, chosen by a function of the district's id alone, so that
anybody can compute it and no table has to agree with it.
"""

import re
from dataclasses import dataclass
from typing import Self
from zlib import crc32

PARTITIONS_MAX = 64
_NAMED = re.compile(r"-(?P<partition>\d+)-of-(?P<partitions>\d+)$")


def partition_of(district: str, partitions: int) -> int:
    """Return whose a district is: the CRC-32 (as in zlib and PNG) of its id in UTF-8, modulo the number of partitions."""
    return crc32(district.encode()) % partitions


@dataclass(frozen=True, slots=True)
class Share:
    """The districts of one partition of several."""

    partition: int = 0
    partitions: int = 1

    def owns(self, district: str) -> bool:
        """Tell whether a district is in it."""
        return partition_of(district, self.partitions) == self.partition

    def name(self, what: str) -> str:
        """Return the name of something that a partition has for itself; the only partition adds nothing to it."""
        return what if self.partitions == 1 else f"{what}-{self.partition}-of-{self.partitions}"

    @classmethod
    def named(cls, name: str) -> Self:
        """Return whose something is, by its name."""
        found = _NAMED.search(name)
        return cls(int(found["partition"]), int(found["partitions"])) if found else cls()


WHOLE = Share()
"""All districts, where there is one partition only."""
