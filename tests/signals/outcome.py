"""From what a run left, its files and what was noted on the way, to its outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.signals.plan import Outcome, Run
from tests.signals.records import read_trips

from maasloop.twin.street.judge import judge_run
from maasloop.twin.street.simulation import StreetSimulation


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was noted while a run went on; SUMO's files do not hold it."""

    gridlock: str
    processor_s: float
    decisions_ms: Sequence[float] = ()
    red_called_max_s: float = 0.0
    refused: Mapping[str, int] = field(default_factory=dict)
    releases: int = 0
    local_after_kill_s: int | None = None
    remote_after_restart_s: int | None = None


def outcome_of(run: Run, street: StreetSimulation, told: Told) -> Outcome:
    """Return the outcome of a run whose street is closed."""
    trips = read_trips(street.tripinfo)
    times_ms = sorted(told.decisions_ms)
    after_kill = trips.due_from(street.site.scenario.begin_s + run.kill_at) if run.kill_at is not None else None
    return Outcome(
        run=run,
        mean_delay_s=trips.mean_delay_s,
        p99_wait_s=trips.p99_wait_s,
        max_wait_s=trips.max_wait_s,
        stops=trips.stops,
        trips=len(trips.rows),
        not_departed=trips.not_departed,
        violations=len(judge_run(street.site.scenario.net, street.states_file)),
        gridlock=told.gridlock,
        red_called_max_s=told.red_called_max_s,
        decision_ms_mean=sum(times_ms) / len(times_ms) if times_ms else 0.0,
        decision_ms_p99=times_ms[int(len(times_ms) * 0.99)] if times_ms else 0.0,
        refused=dict(told.refused),
        releases=told.releases,
        processor_s=told.processor_s,
        local_after_kill_s=told.local_after_kill_s,
        delay_after_kill_s=after_kill.mean_delay_s if after_kill is not None else None,
        remote_after_restart_s=told.remote_after_restart_s,
    )
