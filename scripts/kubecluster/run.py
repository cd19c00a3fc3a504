"""``scripts/kube_test.py``: a run of the chart on a cluster; the exit status says whether all steps held."""

import argparse
import base64
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from types import FrameType

import yaml

from kubecluster import plan
from kubecluster.tools import tool
from maasloop.core.clock import SystemClock
from maasloop.stack.cluster_secrets import Release, cluster_secrets
from maasloop.stack.errors import StackError
from maasloop.stack.state import find_root

LINES_TOLD = 60
INTERRUPTED = 130
CLOCK = SystemClock()


def main() -> int:
    """Run all steps; whatever happens, what was installed is taken away again."""
    arguments = _arguments()
    root = find_root(Path.cwd())
    tools = root / ".maasloop" / "tools"
    cluster = plan.Cluster(
        helm=tool("helm", tools),
        kubectl=tool("kubectl", tools),
        chart=root / "deploy" / "helm" / "maasloop",
        namespace=f"maasloop-test-{token_hex(3)}",
        tag=arguments.tag,
        registry=arguments.registry,
        loader=arguments.image_loader,
    )
    runner = Runner(_environment(arguments.kubeconfig))
    if arguments.dry_run:
        return _printed(runner, cluster)
    if arguments.images_only:
        return int(not runner.holds(plan.images(cluster)))
    signal.signal(signal.SIGTERM, _interrupted)
    began_s = CLOCK.monotonic_s()
    try:
        status = _run(runner, cluster)
    except KeyboardInterrupt:
        _tell("interrupted")
        status = INTERRUPTED
    finally:
        gone = arguments.keep or runner.holds(plan.removal(cluster))
    _tell(f"{'a step failed' if status or not gone else 'all steps held'}, {CLOCK.monotonic_s() - began_s:.0f} s")
    return status or int(not gone)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/kube_test.py", description=__doc__)
    told = os.environ.get
    parser.add_argument("--kubeconfig", default=told("KUBECONFIG", ""), help="the cluster (KUBECONFIG)")
    loader = "line for sh that brings an image; {image} in it, or else its last word, is the name (IMAGE_LOADER)"
    parser.add_argument("--image-loader", default=told("IMAGE_LOADER", ""), help=loader)
    registry = f"registry and path in front of image names (REGISTRY; {plan.REGISTRY})"
    parser.add_argument("--registry", default=told("REGISTRY", "") or plan.REGISTRY, help=registry)
    parser.add_argument("--tag", default=version("maasloop-stack"), help="tag of the images")
    parser.add_argument("--keep", action="store_true", help="leave everything there in the end")
    parser.add_argument("--images-only", action="store_true", help="bring the images and do nothing else")
    parser.add_argument("--dry-run", action="store_true", help="print the steps and run none")
    return parser.parse_args()


def _environment(kubeconfig: str) -> Mapping[str, str]:
    """Return what commands run with: helm and kubectl read the same list of files."""
    files = os.pathsep.join(str(Path(each).expanduser()) for each in kubeconfig.split(os.pathsep) if each)
    return {**os.environ, **({"KUBECONFIG": files} if files else {})}


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    """Let whoever ends us wait until nothing is left."""
    raise KeyboardInterrupt


class Runner:
    """Runs steps one after the other and tells how long each took."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Run commands with an environment."""
        self._environment = environment

    def holds(self, steps: Iterable[plan.Step]) -> bool:
        """Run steps until one fails; tells why it did."""
        for step in steps:
            began_s = CLOCK.monotonic_s()
            try:
                self.do(step)
            except StackError as error:
                _tell(f"{CLOCK.monotonic_s() - began_s:6.1f} s  {step.what}: FAILED")
                _tell(str(error))
                return False
            _tell(f"{CLOCK.monotonic_s() - began_s:6.1f} s  {step.what}")
        return True

    def show(self, steps: Iterable[plan.Step]) -> None:
        """Run steps and print what they print; none of them matters."""
        for step in steps:
            try:
                _tell(f"{step.what}:\n{self.do(step)}")
            except StackError as error:
                _tell(str(error))

    def do(self, step: plan.Step) -> str:
        """Run a step and return what it printed; raises ``StackError`` with its last lines and what to look at."""
        fed = {"apiVersion": "v1", "kind": "List", "items": list(step.manifests)}
        given = json.dumps(fed) if step.manifests else ""
        try:
            status, said, wrong = self._ran(step, given)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StackError(step.what, str(error), next_step=step.next_step) from None
        if (status and not step.tolerated) or (step.silent and said.strip()):
            lines = (said + wrong).splitlines()[-LINES_TOLD:]
            command = "the command was " + shlex.join(map(str, step.command))
            raise StackError(step.what, "\n".join(lines), next_step="; ".join(filter(None, (step.next_step, command))))
        return said

    def _ran(self, step: plan.Step, given: str) -> tuple[int, str, str]:
        """Run a command in a process group of its own, which ends with it, whatever happens here."""
        with subprocess.Popen(
            list(step.command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
            start_new_session=True,
        ) as process:
            try:
                said, wrong = process.communicate(given, timeout=step.timeout_s)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return process.returncode, said, wrong


def _run(runner: Runner, cluster: plan.Cluster) -> int:
    with tempfile.TemporaryDirectory() as directory:
        try:
            selftest = yaml.safe_load(runner.do(plan.rendering(cluster)))
        except StackError as error:
            _tell(str(error))
            return 1
        made = cluster_secrets(Path(directory), Release(plan.RELEASE, cluster.namespace), CLOCK)
        secrets = [_manifest(name, files) for name, files in made.items()]
        if runner.holds(plan.steps(cluster, secrets, plan.load_job(cluster, selftest))):
            return 0
        runner.show(plan.diagnosis(cluster))
        return 1


def _printed(runner: Runner, cluster: plan.Cluster) -> int:
    """Print every step as a line for a shell; what is fed to one is not shown."""
    selftest = yaml.safe_load(runner.do(plan.rendering(cluster)))
    for step in (*plan.steps(cluster, [{}], plan.load_job(cluster, selftest)), *plan.removal(cluster)):
        fed = " < manifests" if step.manifests else ""
        _tell(f"# {step.what}, {step.timeout_s} s at most\n{shlex.join(map(str, step.command))}{fed}")
    return 0


def _manifest(name: str, files: Mapping[str, bytes]) -> Mapping[str, object]:
    data = {key: base64.b64encode(content).decode() for key, content in files.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
