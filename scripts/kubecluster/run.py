"""``scripts/kube_test.py``: a run of the chart on a cluster; the exit status says whether all steps held."""

import argparse
import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex

import yaml

from kubecluster import plan
from kubecluster.tools import tool
from maasloop.core.clock import SystemClock
from maasloop.stack.cluster_secrets import Release, cluster_secrets
from maasloop.stack.errors import StackError
from maasloop.stack.state import find_root

STEP_TIMEOUT_S = 1_200
LINES_TOLD = 60


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
        kubeconfig=arguments.kubeconfig,
        registry=arguments.registry,
        loader=arguments.image_loader,
    )
    clock = SystemClock()
    began_s = clock.monotonic_s()
    with tempfile.TemporaryDirectory() as directory:
        try:
            _run([*_planned(cluster, Path(directory))])
            held = True
        except StackError as error:
            _tell(str(error))
            held = False
            _run(plan.diagnosis(cluster), shown=True)
        finally:
            if not arguments.keep:
                _run(plan.removal(cluster))
    _tell(f"{'all steps held' if held else 'a step failed'}, {clock.monotonic_s() - began_s:.0f} s")
    return 0 if held else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/kube_test.py", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="the cluster; by default what kubectl takes")
    parser.add_argument("--image-loader", default="", help="command that brings an image; {image} in it is its name")
    parser.add_argument("--registry", default="", help="registry and path in front of image names")
    parser.add_argument("--tag", default=version("maasloop-stack"), help="tag of the images")
    parser.add_argument("--keep", action="store_true", help="leave everything there in the end")
    return parser.parse_args()


def _planned(cluster: plan.Cluster, directory: Path) -> Iterable[plan.Step]:
    selftest = yaml.safe_load(_do(plan.rendering(cluster)).stdout)
    made = cluster_secrets(directory, Release(plan.RELEASE, cluster.namespace), SystemClock())
    return plan.steps(
        cluster, [_manifest(name, files) for name, files in made.items()], plan.load_job(cluster, selftest)
    )


def _manifest(name: str, files: Mapping[str, bytes]) -> Mapping[str, object]:
    data = {key: base64.b64encode(content).decode() for key, content in files.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def _run(steps: Iterable[plan.Step], *, shown: bool = False) -> None:
    clock = SystemClock()
    for step in steps:
        began_s = clock.monotonic_s()
        done = _do(step)
        if shown:
            _tell(done.stdout)
        _tell(f"{clock.monotonic_s() - began_s:6.1f} s  {step.what}")


def _do(step: plan.Step) -> subprocess.CompletedProcess[str]:
    fed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(step.manifests)}) if step.manifests else None
    try:
        done = subprocess.run(
            step.command, input=fed, capture_output=True, text=True, timeout=STEP_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(step.what, str(error)) from None
    if done.returncode and not step.tolerated:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-LINES_TOLD:])
        raise StackError(step.what, said, next_step="the command was " + " ".join(map(str, step.command[1:])))
    return done


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
