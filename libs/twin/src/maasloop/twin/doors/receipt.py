"""What a door says of what came through it."""

from dataclasses import dataclass, field

from maasloop.twin.devices.readings import Reading


@dataclass(frozen=True)
class Receipt:
    """What became of a payload: taken readings and refused ones with the reason."""

    taken: list[Reading]
    refused: list[tuple[Reading, str]] = field(default_factory=list)
    detail: str = ""
