"""Everything that the chart runs passes the restricted pod security standard."""

from collections.abc import Iterable
from typing import Any

import pytest
import yaml
from tests.chart.parts.rendered import BLOCKS, CHART, MINIMAL, PROFILES, HelmLibrary, Object, Values, pod_templates

EXAMPLES: dict[str, Values] = {
    **{path.name: yaml.safe_load(path.read_text()) for path in sorted((CHART / "ci").glob("*-values.yaml"))},
    **PROFILES,
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_pod_passes_the_restricted_standard(library: HelmLibrary, example: str) -> None:
    """No pod, of a job neither, may do more than the restricted pod security standard and a read-only root allow."""
    templates = pod_templates(library.render(EXAMPLES[example]))
    assert len(templates) > len(BLOCKS)
    for name, template in templates.items():
        assert list(_liberties(template["spec"])) == [], name


@pytest.mark.parametrize(
    "liberty",
    [
        {"hostNetwork": True},
        {"automountServiceAccountToken": True},
        {"securityContext": {"runAsNonRoot": True, "runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}}},
        {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]},
    ],
)
def test_a_liberty_is_seen(library: HelmLibrary, liberty: dict[str, Any]) -> None:
    """The check of pod security can fail."""
    template = next(iter(pod_templates(library.render(MINIMAL)).values()))

    assert list(_liberties(template["spec"] | liberty)) != []


def _liberties(pod: Object) -> Iterable[str]:
    """Yield what a pod may do beyond the restricted standard."""
    inside = pod["securityContext"]
    forbidden = ("hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers")
    yield from (name for name in forbidden if name in pod)
    if pod["automountServiceAccountToken"] is not False:
        yield "a token of the Kubernetes API"
    if not (inside["runAsNonRoot"] is True and inside["runAsUser"] > 0):
        yield "root"
    if inside["seccompProfile"] != {"type": "RuntimeDefault"}:
        yield "system calls"
    allowed = {"name", "configMap", "emptyDir", "secret"}
    yield from (f"volume {volume['name']}" for volume in pod["volumes"] if not volume.keys() <= allowed)
    for container in pod["containers"]:
        if container["securityContext"] != {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }:
            yield f"container {container['name']}"
