"""The same traffic under the network's own programme, in a process of its own, second by second.

Run as ``python -m maasloop.twin.play.baseline SCENARIO SEED SECONDS WORK_DIR``: a line of JSON every ten seconds, and
the mean delay of the whole run in the last one.
"""

import asyncio
import json
import sys
from pathlib import Path

from maasloop.twin.play.delay_so_far import DelayMeter
from maasloop.twin.street.delay import mean_delay_s
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.simulation import SimulationOptions, StreetSimulation
from maasloop.twin.street.site import read_site

REPORT_S = 10
NICENESS = 10


class Baseline:
    """The running baseline as others see it."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.mean_delay_s: float | None = None
        self.error = ""
        self._so_far: dict[int, float] = {}

    def at(self, passed_s: int) -> float | None:
        """Return the mean delay after that many seconds, as far as known."""
        return self._so_far.get(passed_s // REPORT_S * REPORT_S)

    async def run(self, scenario: str, seed: int, duration_s: int, work_dir: Path) -> None:
        """Run the baseline in a child process; cancelled, the child ends too."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            scenario,
            str(seed),
            str(duration_s),
            str(work_dir),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert child.stdout is not None  # noqa: S101 - asked for with PIPE
            async for line in child.stdout:
                self._hear(json.loads(line))
            if await child.wait() != 0:
                assert child.stderr is not None  # noqa: S101 - the same
                self.error = (await child.stderr.read()).decode(errors="replace")[-500:]
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()

    def _hear(self, said: dict[str, float]) -> None:
        if "mean_delay_s" in said:
            self.mean_delay_s = said["mean_delay_s"]
        else:
            self._so_far[int(said["second"])] = said["delay_s"]


def main(arguments: list[str]) -> None:
    """Run the baseline named on the command line."""
    import os

    os.nice(NICENESS)
    scenario, seed, seconds, work_dir = arguments
    duration_s, meter = int(seconds), DelayMeter()
    street = StreetSimulation(
        read_site(load_scenario(scenario)),
        seed=int(seed),
        duration_s=duration_s,
        work_dir=Path(work_dir),
        options=SimulationOptions(own_programmes=True, record_states=False),
    )
    with street:
        for second in range(1, duration_s + 1):
            street.step()
            meter.see()
            if second % REPORT_S == 0:
                _say(second=second, delay_s=meter.mean_s)
    _say(mean_delay_s=mean_delay_s(street.tripinfo))


def _say(**values: float) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
