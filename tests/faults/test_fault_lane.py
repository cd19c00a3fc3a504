"""The lane of every change: each process is killed once under load, and the power-loss proof is made."""

import subprocess
import sys

import pytest
from tests.faults.lab import ROOT

LANE_TIMEOUT_S = 240


@pytest.mark.integration
@pytest.mark.timeout(LANE_TIMEOUT_S + 10)
def test_what_was_acknowledged_survives_the_lane() -> None:
    """Nothing is lost, twice or made up when ingest, timeseries, nats-server and PostgreSQL are killed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "ci", "--no-report"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LANE_TIMEOUT_S,
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
