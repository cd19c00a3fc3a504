"""How well predictions of signal changes hold in recorded runs: ``python -m tests.signals.predictions SCENARIO …``."""

import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.signals.desk import Desk
from tests.signals.scale import Recording, desk_of, recordings

from maasloop.actuation.domain.signals.aspects import Aspects
from maasloop.actuation.domain.signals.prediction import Change, Predictor, signal_of

SECONDS = 900
WARM_UP_S = 300
"""Before that a group has shown too few greens to be compared with."""


@dataclass
class Score:
    """Predictions whose change was recorded, or should have been."""

    judged: int = 0
    kept: int = 0
    """The change came between the first and the last second named."""
    certain: int = 0
    certain_kept: int = 0
    confidences: list[float] = field(default_factory=list)
    errors_s: list[float] = field(default_factory=list)
    """Distance of the likely second."""

    def judge(self, change: Change, changed_s: int | None, ended_s: int) -> None:
        """Judge a prediction by the second of the change; one that the recording ended before is left out."""
        if changed_s is None and change.latest_s >= ended_s:
            return
        kept = changed_s is not None and change.earliest_s <= changed_s <= change.latest_s
        self.judged += 1
        self.kept += kept
        self.certain += change.confidence == 1.0
        self.certain_kept += kept and change.confidence == 1.0
        self.confidences.append(change.confidence)
        if changed_s is not None:
            self.errors_s.append(abs(changed_s - change.likely_s))

    @property
    def share(self) -> float:
        """Return the share of predictions that held."""
        return self.kept / self.judged if self.judged else 0.0


def score(originals: Sequence[Recording], warm_up_s: int = WARM_UP_S) -> Score:
    """Predict every second of the recordings, and judge by what was shown afterwards."""
    found = Score()
    for original in originals:
        history = list(_predicted(desk_of(original.junction), original))
        first_s = original.seconds[0][0]
        for index, (aspects, changes) in enumerate(history):
            if index < warm_up_s:
                continue
            for name, change in changes.items():
                signal = signal_of(aspects[name])
                later = range(index + 1, len(history))
                changed = next((one for one in later if signal_of(history[one][0][name]) is not signal), None)
                found.judge(change, None if changed is None else first_s + changed, first_s + len(history))
    return found


def _predicted(desk: Desk, original: Recording) -> Iterator[tuple[Aspects, dict[str, Change]]]:
    """Yield, second by second, what was shown and what was predicted after the decision on it."""
    predictor = Predictor(desk.sheet)
    for second, loops, seen, heard, _ in original.seconds:
        desk.decide(second, desk.device.tick(second), loops, seen, heard)
        assert desk.state is not None
        predictor.hear(desk.state)
        yield desk.state.aspects(), predictor.predict(desk.state, desk.running)


if __name__ == "__main__":
    for scenario in sys.argv[1:]:
        scored = score(recordings(scenario, "area", SECONDS))
        print(
            f"{scenario}: {scored.judged} predictions, {scored.share:.3f} held,"
            f" {statistics.fmean(scored.confidences):.3f} stated; {scored.certain} certain, {scored.certain_kept} held;"
            f" likely second off by {statistics.median(scored.errors_s):.0f} s in the median"
        )
