"""What is broken, when, and for how long: drawn from a seed, and written down as it happens."""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from maasloop.core.clock import SystemClock


class Nemesis:
    """Draws faults from a seed and keeps the history of what was done."""

    def __init__(self, seed: int, history: Path) -> None:
        """Append to the history, a JSON object a line."""
        self.seed = seed
        self.random = random.Random(seed)
        self.clock = SystemClock()
        self._history = history
        self._began_s = self.clock.monotonic_s()

    def note(self, what: str, **details: Any) -> None:  # noqa: ANN401 - values of JSON
        """Write down what was done or found."""
        line = {"at_s": round(self.clock.monotonic_s() - self._began_s, 3), "what": what, **details}
        with self._history.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def victims(self, kinds: Sequence[str], rounds: int) -> Iterator[str]:
        """Yield every kind once a round, in an order of its own each round."""
        for _ in range(rounds):
            yield from self.random.sample(list(kinds), len(kinds))

    def between(self, low_s: float, high_s: float) -> float:
        """Draw a time."""
        return self.random.uniform(low_s, high_s)
