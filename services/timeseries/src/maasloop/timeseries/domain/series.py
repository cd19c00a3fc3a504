"""Series: what rows belong to, and in which table they lie."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from maasloop.core.domains import Retention


class Kind(StrEnum):
    """What a result is, as tables tell it apart: booleans are numbers."""

    NUMBERS = "numbers"
    STATES = "states"
    POSITIONS = "positions"


class Table(NamedTuple):
    """One kind of result in one retention class."""

    kind: Kind
    retention: Retention

    @property
    def name(self) -> str:
        """Name of the hypertable."""
        return f"{self.kind}_{self.retention}"


TABLES: tuple[Table, ...] = tuple(Table(kind, retention) for kind in Kind for retention in Retention)


@dataclass(frozen=True, slots=True)
class PropertyFacts:
    """What the writer needs to know of an observed property."""

    kind: Kind
    retention: Retention


@dataclass(frozen=True, slots=True)
class PersonalDevice:
    """Whose readings a device's are, and under which activity they are processed."""

    data_subject: str
    processing_activity: str


type Facts = PropertyFacts | PersonalDevice
"""An item of the projection of the registry, by resource name; devices of nobody are left out."""
