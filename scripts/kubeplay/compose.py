"""The same release for Docker Compose and podman-compose: one file, which names secrets and holds none.

Files of pods lie where ``kube_play.py files`` writes them, and variables that hold secrets in a file each beside them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from kubeplay.translate import Played, Translation

POD_USER = "10001:10001"
STATE = "../.maasloop/compose"
"""Where the files are, seen from ``deploy/``."""


def compose(translation: Translation, state: Path) -> dict[str, Any]:
    """Return the content of ``compose.yaml``.

    Nothing waits for anything, because podman-compose starts nothing behind a job that has ended: what comes too early ends
    and is started again, jobs until they succeeded.
    """
    services: dict[str, Any] = {}
    for pod in (*translation.servers, *translation.services):
        services[_name(pod)] = _service(pod, state) | {"restart": "unless-stopped"}
    for job in translation.jobs:
        services[_name(job)] = _service(job, state) | {"restart": "on-failure"}
    for test in translation.tests:
        services[_name(test)] = _service(test, state) | {"restart": "no", "profiles": ["test"]}
    return {"name": "maasloop", "services": services}


class _Indented(yaml.SafeDumper):
    """Lists stand further in than what they belong to."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


def compose_text(content: Mapping[str, Any]) -> str:
    """Return the file."""
    return yaml.dump(dict(content), Dumper=_Indented, sort_keys=False, width=110)


def variables(translation: Translation) -> Mapping[Path, bytes]:
    """Return the files of variables by path below the state folder."""
    return {
        Path("variables") / f"{_name(pod)}.env": "".join(
            f"{each['name']}={each['value']}\n" for each in _container(pod).get("env", [])
        ).encode()
        for pod in _all(translation)
    }


def _all(translation: Translation) -> Iterable[Played]:
    return [*translation.servers, *translation.jobs, *translation.services, *translation.tests]


def _name(pod: Played) -> str:
    """Return what the others call it."""
    return pod.aliases[0] if pod.aliases else pod.name


def _container(pod: Played) -> dict[str, Any]:
    container: dict[str, Any] = pod.manifest["spec"]["containers"][0]
    return container


def _service(pod: Played, state: Path) -> dict[str, Any]:
    container = _container(pod)
    folders = {each["name"]: each.get("hostPath", {}).get("path", "") for each in pod.manifest["spec"]["volumes"]}
    mounts = [(folders[each["name"]], each) for each in container.get("volumeMounts", [])]
    service: dict[str, Any] = {
        "image": container["image"],
        "user": POD_USER,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "stop_grace_period": f"{pod.manifest['spec'].get('terminationGracePeriodSeconds', 30)}s",
        "env_file": [f"{STATE}/variables/{_name(pod)}.env"],
        "tmpfs": [each["mountPath"] for folder, each in mounts if not folder],
        "volumes": [
            f"{STATE}/{Path(folder).relative_to(state)}:{each['mountPath']}{':ro' if each.get('readOnly') else ''}"
            for folder, each in mounts
            if folder
        ],
    }
    if "command" in container:
        service["entrypoint"] = container["command"]
    if "args" in container:
        service["command"] = container["args"]
    return service
