"""The translated release under podman: a network, pods, jobs one after the other, and what must be ready before the next."""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import sleep

import yaml

from images.machine import run
from kubeplay.probes import Watched
from kubeplay.translate import Played, Translation
from maasloop.core.clock import Clock
from maasloop.stack.errors import StackError

NETWORK = "maasloop"
POD_USER = 10001
"""The number under which every pod of the chart runs."""
READY_TIMEOUT_S = 240.0
JOB_TIMEOUT_S = 240.0
JOB_TRIES = 3
POLL_S = 0.5
PODMAN_TIMEOUT_S = 300.0
LOG_LINES = 40


@dataclass(frozen=True, slots=True)
class Play:
    """A release that runs in podman; ``state`` holds what its pods read and write."""

    state: Path
    clock: Clock
    tell: Callable[[str], None]
    network: str = NETWORK

    def up(self, translation: Translation) -> None:
        """Start everything; return when every service is ready."""
        self.write(translation)
        run(["podman", "network", "create", "--ignore", self.network])
        self._start(translation.servers)
        for job in translation.jobs:
            self.finish(job)
        self._start(translation.services)

    def finish(self, job: Played) -> str:
        """Run a pod that ends, again where it failed; return what it wrote."""
        written = ""
        for attempt in range(1, JOB_TRIES + 1):
            started_s = self.clock.monotonic_s()
            self._play(job)
            container = f"{job.name}-{job.manifest['spec']['containers'][0]['name']}"
            try:
                status = run(["podman", "wait", container], timeout_s=JOB_TIMEOUT_S).strip()
            except StackError:
                status = f"none within {JOB_TIMEOUT_S:.0f} s"
            written = _logs(container)
            run(["podman", "pod", "rm", "--force", "--ignore", job.name])
            if status == "0":
                self.tell(f"{job.name}: done in {self.clock.monotonic_s() - started_s:.1f} s")
                return written
            self.tell(f"{job.name}: status {status}, attempt {attempt} of {JOB_TRIES}")
        raise StackError(job.name, f"failed {JOB_TRIES} times\n{written}")

    def watch(self, pods: Sequence[Played]) -> None:
        """Poll probes for ever, and restart pods whose liveness or startup probe fails."""
        for _ in self.rounds(pods):
            sleep(POLL_S)

    def rounds(self, pods: Sequence[Played]) -> Iterator[Mapping[str, Watched]]:
        """Ask what is due and restart what must be, once a step; yield what is known of each pod."""
        watched = {pod.name: Watched(pod.probes) for pod in pods}
        addresses: dict[str, str] = {}
        while True:
            for name, each in watched.items():
                address = addresses.setdefault(name, "") or self._address(name)
                addresses[name] = address
                why = each.look(address, self.clock.monotonic_s())
                if why:
                    self.tell(f"{name}: {why}: restarted")
                    run(["podman", "pod", "restart", name], timeout_s=PODMAN_TIMEOUT_S)
                    addresses[name] = ""
                    each.restarted()
            yield watched

    def wait_ready(self, pods: Sequence[Played]) -> None:
        """Watch until all pods are ready."""
        deadline_s = self.clock.monotonic_s() + READY_TIMEOUT_S
        for watched in self.rounds(pods):
            late = [name for name, each in watched.items() if not each.ready]
            if not late:
                return
            if self.clock.monotonic_s() > deadline_s:
                raise StackError(
                    "kube-play", f"not ready in {READY_TIMEOUT_S:.0f} s: {', '.join(late)}{_logs_of_pod(late[0])}"
                )
            sleep(POLL_S)

    def _start(self, pods: Sequence[Played]) -> None:
        started_s = self.clock.monotonic_s()
        for pod in pods:
            self._play(pod)
        self.wait_ready(pods)
        self.tell(f"{', '.join(pod.name for pod in pods)}: ready in {self.clock.monotonic_s() - started_s:.1f} s")

    def _play(self, pod: Played) -> None:
        aliases = ",".join(f"alias={name}" for name in pod.aliases)
        network = f"{self.network}:{aliases}" if aliases else self.network
        text = yaml.safe_dump(pod.manifest, sort_keys=False).encode()
        run(["podman", "kube", "play", "--quiet", "--replace", f"--network={network}", "-"], given=text)

    def _address(self, pod: str) -> str:
        """Return the address of a pod on the network."""
        described = json.loads(run(["podman", "pod", "inspect", pod]))
        infra = (described[0] if isinstance(described, list) else described)["InfraContainerID"]
        networks = json.loads(run(["podman", "inspect", "--format", "{{json .NetworkSettings.Networks}}", infra]))
        return str(networks[self.network]["IPAddress"])

    def write(self, translation: Translation) -> None:
        """Write what pods read, for their user and nobody else."""
        shutil.rmtree(self.state / "files", ignore_errors=True)
        self.state.mkdir(parents=True, exist_ok=True)
        for folder in translation.folders:
            (self.state / folder).mkdir(parents=True, exist_ok=True)
            os.chown(self.state / folder, POD_USER, POD_USER)
            (self.state / folder).chmod(0o750)
        for path, content in translation.files.items():
            (self.state / path).write_bytes(content)
            os.chown(self.state / path, POD_USER, POD_USER)
            (self.state / path).chmod(0o440)


def down(pods: Iterable[Played], state: Path, network: str = NETWORK) -> None:
    """Remove everything: pods, network, files and data."""
    for pod in pods:
        run(["podman", "pod", "rm", "--force", "--ignore", "--time=30", pod.name], timeout_s=PODMAN_TIMEOUT_S)
    run(["podman", "network", "rm", "--force", network])
    shutil.rmtree(state, ignore_errors=True)


def _logs(container: str) -> str:
    return run(["podman", "logs", f"--tail={LOG_LINES}", container], errors_too=True)


def _logs_of_pod(pod: str) -> str:
    described = json.loads(run(["podman", "pod", "inspect", pod]))
    containers = (described[0] if isinstance(described, list) else described)["Containers"]
    return "".join(f"\n{_logs(each['Name'])}" for each in containers if not each["Name"].endswith("-infra"))
