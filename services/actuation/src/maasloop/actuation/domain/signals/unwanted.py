"""What is left out of a stage, and why."""

from dataclasses import dataclass

from .stages import Stage


@dataclass(frozen=True)
class Unwanted:
    """The groups that are not started, and on foot not kept green either."""

    idle: frozenset[str]
    """Nobody wants them. A green for nobody has to be cleared all the same before the next one, and a crossing takes longest."""
    in_the_way: frozenset[str]
    """Crossings that had their green, and hold up those who turn."""

    def out_of(self, stage: Stage, reason: str) -> tuple[Stage, str]:
        """Return what is wanted of a stage, and the reason; all of it where nothing is."""
        idle, in_the_way = stage & self.idle, stage & (self.in_the_way - self.idle)
        if stage == idle | in_the_way:
            return stage, reason
        if idle:
            reason = f"{reason}, {len(idle)} groups are wanted by nobody"
        if in_the_way:
            reason = f"{reason}, {len(in_the_way)} crossings hold up who turns"
        return stage - idle - in_the_way, reason
