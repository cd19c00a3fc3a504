"""The lane of every change: each process is killed once, a writer between rows and commit, and the power-loss proof is made."""

import subprocess
import sys

import pytest
from tests.faults.lab import ROOT

LANE_TIMEOUT_S = 240


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.faults", "ci", *arguments],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LANE_TIMEOUT_S,
    )


@pytest.mark.integration
@pytest.mark.timeout(LANE_TIMEOUT_S + 10)
def test_what_was_acknowledged_survives_the_lane() -> None:
    """Nothing is lost, twice or made up when ingest, timeseries, nats-server and PostgreSQL are killed."""
    done = _run()

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.integration
@pytest.mark.timeout(LANE_TIMEOUT_S + 10)
def test_sabotage_the_lane_fails_for_a_platform_that_loses_readings() -> None:
    """With positions committed before the rows, the same command ends with a status that says so, and names the loss."""
    done = _run("--only", "between", "--sabotage", "position before the rows")

    assert done.returncode == 1, f"{done.stdout}\n{done.stderr}"
    assert "'lost':" in done.stdout
