"""What a signal group can show, and what may be asked for remotely."""

from collections.abc import Mapping
from enum import StrEnum


class Aspect(StrEnum):
    """One signal of one group; the characters are those of the field's state text."""

    RED = "r"
    YELLOW = "y"
    GREEN = "G"
    """Green whose conflicts are all red."""
    YIELDING = "g"
    """Green that must give way to a compatible foe."""
    DARK = "O"
    FLASHING = "o"


Aspects = Mapping[str, Aspect]
"""Signal group id to what it shows."""

GREENS = frozenset({Aspect.GREEN, Aspect.YIELDING})
GOING = GREENS | {Aspect.YELLOW}
"""Under these vehicles pass the line."""
NEVER_REMOTE = frozenset({Aspect.DARK, Aspect.FLASHING})
"""Only the controller itself, or a person on the spot, may show these."""
