"""The demo as a person starts it: in a process of its own, on the whole stack."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from maasloop.testing.providers import scratch_directory
from maasloop.twin.demo.summary import Summary

PLAYING = "begins to tick"
POLL_S = 0.1


@pytest.fixture(name="root")
def _root() -> Iterator[Path]:
    with scratch_directory() as directory:
        yield directory


def start(root: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a demo in a session of its own, in which Ctrl-C works as in a terminal, also where it is ignored here."""
    demo = [sys.executable, "-m", "maasloop.twin.demo", "--root", str(root), *arguments]
    command = ["env", "--default-signal=INT", *demo]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def processes_of(root: Path) -> list[str]:
    """Return the command lines of processes that work in a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = (process / "cwd").readlink()
        except OSError:
            continue
        if str(root) in line or root in (where, *where.parents):
            found.append(line)
    return found


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_demo_accounts_for_everything(root: Path) -> None:
    """A minute of the street: every reading, command and fault is accounted for, and the exit status says so."""
    demo = start(root, "--duration", "60", "--speed", "20")
    told, _ = demo.communicate()
    summary = json.loads((root / ".maasloop" / "demo" / "summary.json").read_text())

    assert demo.returncode == 0, told
    assert set(summary) == {field.name for field in dataclasses.fields(Summary)}
    assert summary["readings_acknowledged"] == summary["rows_stored"] > 10_000
    # What a service observes itself, such as queues and predictions, is stored beside what the street sent.
    assert summary["stored"] > summary["rows_stored"]
    assert summary["faults_accounted"] == summary["faults_injected"]
    assert summary["kernel_violations"] == summary["lamp_floor_violations"] == 0
    assert min(summary["commands_verified_lamps"], summary["commands_verified_signals"]) > 0
    # Half of the junctions are led by stages, half over RSMP by bands.
    assert summary["junctions_by_stages"] == summary["junctions_by_bands"] == 4
    assert summary["commands_verified_plans"] > 0
    assert min(summary["consent_refusals"], *summary["alerts_delivered"].values()) > 0
    assert summary["energy_ratio"] < 1
    assert summary["mean_delay_s"] < summary["mean_delay_fixed_s"]
    assert processes_of(root) == []


@pytest.mark.e2e
@pytest.mark.timeout(120)
def test_ctrl_c_leaves_no_process_and_a_second_demo_says_that_one_runs(root: Path) -> None:
    """A second demo beside a running one ends with a sentence; Ctrl-C ends the first with everything it started."""
    demo = start(root, "--duration", "600")
    assert demo.stdout is not None
    said = []
    for line in demo.stdout:
        said.append(line)
        if PLAYING in line:
            break
    secret = root / ".maasloop" / "demo" / "rsmp-code"
    code = secret.read_text()
    second = start(root, "--duration", "60")
    told, _ = second.communicate()
    kept = secret.read_text()
    demo.send_signal(signal.SIGINT)
    rest, _ = demo.communicate()
    while left := processes_of(root):
        time.sleep(POLL_S)

    assert second.returncode == 1, "".join([*said, rest])
    assert "already runs" in told
    # Sites of the running demo that come back show the code that it drew.
    assert kept == code
    assert demo.returncode == 130
    assert left == []
