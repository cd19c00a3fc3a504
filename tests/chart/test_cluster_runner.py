"""How steps are run on a cluster: each failure is told, nothing that runs is left, and the end takes everything away."""

import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from kubecluster import run
from kubecluster.plan import IMAGES, Step
from kubecluster.tools import packaged
from maasloop.stack.errors import StackError

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".maasloop" / "tools"
SCRIPT = (sys.executable, str(ROOT / "scripts" / "kube_test.py"))
SCRIPT_TIMEOUT_S = 120
ENDS_WITHIN_S = 10.0


@pytest.fixture(name="runner")
def _runner() -> run.Runner:
    return run.Runner(os.environ)


def test_a_step_that_fails_says_why(runner: run.Runner) -> None:
    """What it wrote, what to look at and what was run are in the error."""
    step = Step("it is there", ("sh", "-c", "echo gone >&2; exit 3"), next_step="look for it")

    with pytest.raises(StackError, match=r"it is there: gone\n.*next: look for it; the command was sh -c 'echo gone"):
        runner.do(step)


def test_no_step_follows_one_that_failed(
    runner: run.Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first failure ends a run, and its line says so."""
    steps = [Step("one", ("true",)), Step("two", ("false",)), Step("three", ("touch", str(tmp_path / "three")))]

    assert not runner.holds(steps)
    assert [line.split("s  ")[1] for line in capsys.readouterr().out.splitlines()[:2]] == ["one", "two: FAILED"]
    assert not (tmp_path / "three").exists()


def test_what_may_fail_may_fail(runner: run.Runner) -> None:
    """What is taken away may not be there."""
    assert runner.holds([Step("gone", ("false",), tolerated=True)])


def test_what_is_left_is_a_failure(runner: run.Runner) -> None:
    """A look for what is left holds when it finds nothing."""
    assert runner.holds([Step("nothing is left", ("true",), silent=True)])
    assert not runner.holds([Step("nothing is left", ("echo", "namespace/maasloop-test-1"), silent=True)])


def test_a_step_is_fed_its_manifests(runner: run.Runner) -> None:
    """They arrive as one list."""
    said = runner.do(Step("applied", ("cat",), manifests=[{"kind": "Secret"}]))

    assert said == '{"apiVersion": "v1", "kind": "List", "items": [{"kind": "Secret"}]}'


def test_what_takes_too_long_ends_with_all_that_it_started(runner: run.Runner, tmp_path: Path) -> None:
    """A line of a shell has children; they end with it."""
    pid = tmp_path / "pid"
    step = Step("slow", ("sh", "-c", f"sleep 300 & echo $! > {pid}; wait"), timeout_s=1)

    with pytest.raises(StackError, match="timed out after 1 seconds"):
        runner.do(step)
    assert _ends(int(pid.read_text()))


def _ends(pid: int) -> bool:
    """Tell whether a process that was killed is gone, or waits for nothing but its parent; the kernel may take a moment."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    while time.monotonic() < deadline:
        try:
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def test_the_list_of_kubeconfigs_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several files stay several, each may begin with the home directory, and none leaves the tools their own."""
    monkeypatch.setenv("HOME", "/home/city")
    monkeypatch.delenv("KUBECONFIG", raising=False)

    assert run._environment("~/one:two")["KUBECONFIG"] == "/home/city/one:two"
    assert "KUBECONFIG" not in run._environment("")


def test_without_a_cluster_the_script_says_so() -> None:
    """Its status is 1, and the sentence names what was tried and what to look at."""
    done = _script({"KUBECONFIG": "/no/such/file"})

    assert done.returncode == 1
    assert "the API server answers: FAILED" in done.stdout
    assert "is KUBECONFIG the cluster's" in done.stdout
    assert "a step failed" in done.stdout.splitlines()[-1]


def test_a_dry_run_prints_what_would_be_run() -> None:
    """Every step to the last, and nothing is run: there is no cluster."""
    done = _script({"KUBECONFIG": "/no/such/file", "IMAGE_LOADER": "load $1 {image} | tee"}, "--dry-run")

    assert done.returncode == 0, done.stderr
    assert "load $1 localhost/maasloop-cli:0.1.0 | tee" in done.stdout
    assert "# nothing is left" in done.stdout


@pytest.mark.parametrize(("fails", "status", "last"), [("nothing", 0, "all steps held"), ("test", 1, "a step failed")])
def test_the_end_takes_everything_away(tmp_path: Path, fails: str, status: int, last: str) -> None:
    """Whether all steps hold or one of Helm's does not, the release and its namespace are removed, and the status tells."""
    done = _script(_willing_tools(tmp_path, fails=fails))

    assert (done.returncode, done.stdout.splitlines()[-1].partition(",")[0]) == (status, last)
    assert [line[10:] for line in done.stdout.splitlines()[-4:-1]] == [
        "uninstall",
        "the namespace is gone",
        "nothing is left",
    ]
    assert ("helm test: FAILED" in done.stdout) == ("events:" in done.stdout) == (status == 1)
    assert ("the load lost nothing" in done.stdout) == (status == 0)


def test_images_alone_are_brought(tmp_path: Path) -> None:
    """Who wants to install by hand has every image on the node, and nothing else is asked of a cluster."""
    brought = tmp_path / "brought"
    told = {"KUBECONFIG": "/no/such/file", "IMAGE_LOADER": f"echo {{image}} >> {brought}"}

    assert _script(told, "--images-only").returncode == 0
    assert set(brought.read_text().split()) == {f"localhost/{image}:{version('maasloop-stack')}" for image in IMAGES}
    assert _script({**told, "IMAGE_LOADER": "false"}, "--images-only").returncode == 1


def test_who_is_ended_cleans_up(tmp_path: Path) -> None:
    """A run that is asked to end while a step runs takes its namespace away before it does."""
    told = {**_willing_tools(tmp_path), "IMAGE_LOADER": "sleep 300; true"}
    with subprocess.Popen(SCRIPT, cwd=ROOT, env={**os.environ, **told}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "every node is ready" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        said = process.stdout.read()

    assert process.returncode == run.INTERRUPTED
    assert [line[10:] for line in said.splitlines()[1:-1]] == ["uninstall", "the namespace is gone", "nothing is left"]


def _willing_tools(directory: Path, *, fails: str = "nothing") -> dict[str, str]:
    """Put a kubectl and a helm in front that do nothing and succeed, but for one verb; Helm renders."""
    rendering = f'[ "$1" != template ] || exec {packaged("helm", TOOLS)} "$@"'
    for name, text in (("kubectl", "true"), ("helm", f'{rendering}\n[ "$1" != {fails} ]')):
        (directory / name).write_text(f"#!/bin/sh\n{text}\n")
        (directory / name).chmod(0o755)
    return {"PATH": f"{directory}:{os.environ['PATH']}", "IMAGE_LOADER": ""}


def _script(told: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SCRIPT, *arguments],
        cwd=ROOT,
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        timeout=SCRIPT_TIMEOUT_S,
        check=False,
    )
