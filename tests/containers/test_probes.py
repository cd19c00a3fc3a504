"""Pods of the chart in podman, watched from outside: who does not answer is started again, and nobody else."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import sleep

import pytest
import yaml

import kube_play
from images.machine import run
from kubeplay.play import Play, down
from kubeplay.probes import Watched
from kubeplay.translate import Played, Translation
from maasloop.core.clock import SystemClock
from maasloop.stack.cluster_secrets import Release

pytestmark = pytest.mark.timeout(600)

RELEASE = Release("maasloop-watched")
NETWORK = "maasloop-watched"
REGISTRY = "maasloop-watched-device-registry"
PATIENCE = {"liveness": {"periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 3}}
"""Sixty seconds, the chart's own, are long for a test."""
TIMEOUT_S = 240.0
CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Running:
    """The servers of the laptop profile and one of its services."""

    play: Play
    servers: tuple[Played, ...]
    registry: Played
    told: list[str]


def _release(values: Path, state: Path, operator: Path) -> Translation:
    profile = yaml.safe_load((kube_play.CHART / "values-laptop.yaml").read_text())
    profile["deviceRegistry"] |= {"probes": PATIENCE}
    values.write_text(yaml.safe_dump(profile))
    return kube_play.release(values, state, operator, RELEASE)


@pytest.fixture(name="running", scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("watched")
    # Others than root must find their files below it.
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)
    translation = _release(folder / "values.yaml", folder / "state", folder / "operator")
    (registry,) = (pod for pod in translation.services if REGISTRY in pod.aliases)
    registry.manifest["spec"]["terminationGracePeriodSeconds"] = 1
    told: list[str] = []
    play = Play(folder / "state", CLOCK, told.append, NETWORK)
    try:
        play.up(replace(translation, services=(registry,)))
        yield Running(play, translation.servers, registry, told)
    finally:
        down([*translation.servers, *translation.jobs, registry], folder / "state", NETWORK)


def _process(pod: Played) -> int:
    """Return the number of the first process of a pod, as this machine counts."""
    container = f"{pod.name}-{pod.manifest['spec']['containers'][0]['name']}"
    return int(run(["podman", "inspect", "--format", "{{.State.Pid}}", container]))


def _until(running: Running, *, told: str) -> dict[str, Watched]:
    """Watch until a restart was told and all are ready again; what was ready before is stopped once all were."""
    deadline_s = CLOCK.monotonic_s() + TIMEOUT_S
    stopped = False
    for watched in running.play.rounds([*running.servers, running.registry]):
        assert CLOCK.monotonic_s() < deadline_s, running.told
        ready = all(each.ready for each in watched.values())
        if ready and not stopped:
            os.kill(_process(running.registry), signal.SIGSTOP)
            stopped = True
        elif ready and any(told in each for each in running.told):
            return dict(watched)
        sleep(0.1)
    raise AssertionError


def test_a_service_that_does_not_turn_is_started_again(running: Running) -> None:
    """A process that stands still fails its liveness at the declared period, is replaced, and becomes ready; no other is."""
    servers = [_process(each) for each in running.servers]
    registry = _process(running.registry)

    _until(running, told=": liveness probe failed 3 times: restarted")

    assert [each for each in running.told if "restarted" in each] == [
        f"{running.registry.name}: liveness probe failed 3 times: restarted"
    ]
    assert _process(running.registry) != registry
    assert [_process(each) for each in running.servers] == servers
