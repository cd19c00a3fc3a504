"""The baseline: the same seed and seconds under the network's own programme, in a process of its own.

Run as ``python -m maasloop.twin.street.fixed SCENARIO SEED SECONDS WORK_DIR``; it prints one line of JSON.
"""

import json
import subprocess
import sys
from pathlib import Path

from .delay import mean_delay_s
from .scenario import load_scenario
from .simulation import SimulationOptions, StreetSimulation
from .site import read_site

TIMEOUT_S = 900.0


def fixed_delay_s(scenario: str, *, seed: int, duration_s: int, work_dir: Path, timeout_s: float = TIMEOUT_S) -> float:
    """Return the mean delay in seconds under the network's own programme; the run happens in a child process."""
    command = [sys.executable, "-m", __spec__.name, scenario, str(seed), str(duration_s), str(work_dir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode != 0:
        message = f"the run of the fixed plan failed ({done.returncode}): {done.stderr.strip()[-500:]}"
        raise RuntimeError(message)
    return float(json.loads(done.stdout.strip().splitlines()[-1])["mean_delay_s"])


def run(scenario: str, seed: int, duration_s: int, work_dir: Path) -> float:
    """Run the network's own programme in this process and return its mean delay in seconds."""
    options = SimulationOptions(own_programmes=True, record_states=False)
    street = StreetSimulation(
        read_site(load_scenario(scenario)), seed=seed, duration_s=duration_s, work_dir=work_dir, options=options
    )
    with street:
        for _ in range(duration_s):
            street.step()
    return mean_delay_s(street.tripinfo)


def main(arguments: list[str]) -> None:
    """Run the baseline named on the command line."""
    scenario, seed, duration_s, work_dir = arguments
    delay_s = run(scenario, int(seed), int(duration_s), Path(work_dir))
    sys.stdout.write(json.dumps({"mean_delay_s": delay_s}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
