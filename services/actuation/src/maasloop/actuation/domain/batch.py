"""What one step changes and must be durable together: commands, overrides, journal, decisions and why."""

from dataclasses import dataclass, field

from .command import Command, State
from .journal import JournalEntry
from .override import Override
from .reporting import Report
from .signal_decision import SignalDecision
from .signal_prediction import SignalPrediction


@dataclass(frozen=True, slots=True)
class DecisionReason:
    """Why one target was treated so."""

    target: str
    decision: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided about one second of a district."""

    district: str
    key: str
    """The clock device."""
    street_second: int
    command_ids: tuple[str, ...]
    reasons: tuple[DecisionReason, ...]
    reading_count: int
    announced_count: int
    late: bool
    digest: str


@dataclass(slots=True)
class Batch:
    """Changes in the order in which they happened; the last change of a command is the one that stays."""

    commands: list[Command] = field(default_factory=list)
    overrides: list[Override] = field(default_factory=list)
    journal: list[JournalEntry] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    signal_decisions: list[SignalDecision] = field(default_factory=list)
    predictions: list[SignalPrediction] = field(default_factory=list)
    """Told and never stored, as are the reports."""
    reports: list[Report] = field(default_factory=list)
    released: dict[str, bool] = field(default_factory=dict)
    """Districts that go under local control, or come back."""

    def __bool__(self) -> bool:
        """Tell whether anything changed."""
        return bool(
            self.commands or self.overrides or self.journal or self.decisions or self.signal_decisions or self.released
        )

    def merge(self, other: "Batch") -> None:
        """Append what another step changed afterwards."""
        self.commands.extend(other.commands)
        self.overrides.extend(other.overrides)
        self.journal.extend(other.journal)
        self.decisions.extend(other.decisions)
        self.signal_decisions.extend(other.signal_decisions)
        self.predictions.extend(other.predictions)
        self.reports.extend(other.reports)
        self.released.update(other.released)

    def accepted(self) -> list[Command]:
        """Return the commands that wait for their driver."""
        return [command for command in self.commands if command.state is State.ACCEPTED]
