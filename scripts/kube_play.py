"""The chart without a cluster: ``up`` starts its laptop profile by podman and tries the loop, ``down`` leaves nothing.

Needs the images of ``make images``. The manifests are those that Helm renders, translated by ``kubeplay``; what was
changed is told. ``watch`` polls the probes until it is interrupted and restarts what does not answer.

``compose`` prints the same release as ``deploy/compose.yaml``, ``compose-files`` writes what that file mounts.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import helm_python
import yaml

from images import machine
from kubeplay.compose import compose, compose_text, variables
from kubeplay.play import Play, down
from kubeplay.translate import NotTranslatable, Translation, manifests, translate
from maasloop.core.clock import SystemClock
from maasloop.stack.cluster_secrets import Release, cluster_secrets
from maasloop.stack.errors import StackError

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "deploy" / "helm" / "maasloop"
STATE = ROOT / ".maasloop" / "kube-play"
OPERATOR = ROOT / ".maasloop" / "kube-play-operator"
"""Keys of the city's operator; pods never see them."""
COMPOSE = ROOT / ".maasloop" / "compose"
COMPOSE_HEAD = """# The laptop profile for Docker Compose and podman-compose, made from the chart by `scripts/kube_play.py compose`.
# `make compose-files` writes what it mounts: settings, certificates, credentials, passwords.
"""
RELEASE = Release("maasloop", "default")
CLOCK = SystemClock()


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the first argument says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["up", "watch", "down", "compose", "compose-files"])
    parser.add_argument("--values", type=Path, default=CHART / "values-laptop.yaml", help="a profile of the chart")
    parser.add_argument("--no-test", action="store_true", help="start without trying the loop")
    arguments = parser.parse_args(argv)
    started_s = CLOCK.monotonic_s()
    try:
        if arguments.action.startswith("compose"):
            _compose(release(arguments.values, COMPOSE), files=arguments.action == "compose-files")
        else:
            _do(arguments.action, release(arguments.values, STATE), test=not arguments.no_test)
    except (StackError, NotTranslatable, helm_python.HelmError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    _tell(f"{arguments.action}: {CLOCK.monotonic_s() - started_s:.1f} s")
    return 0


def release(values: Path, state: Path, operator: Path = OPERATOR, named: Release = RELEASE) -> Translation:
    """Render the chart with its Secrets and translate it."""
    chart = helm_python.Chart.load(CHART)
    given = yaml.safe_load(values.read_text(encoding="utf-8"))
    texts = chart.render(given, name=named.fullname, namespace=named.namespace)
    objects: list[dict[str, Any]] = [
        each
        for name, text in sorted(texts.items())
        if name.endswith(".yaml")
        for each in yaml.safe_load_all(text)
        if each
    ]
    return translate([*objects, *manifests(cluster_secrets(operator, named, CLOCK))], state)


def _do(action: str, translation: Translation, *, test: bool) -> None:
    play = Play(STATE, CLOCK, _tell)
    pods = [*translation.servers, *translation.services]
    match action:
        case "down":
            # Services first: one whose servers are gone waits for them while it drains.
            down([*translation.tests, *translation.jobs, *translation.services, *translation.servers], STATE)
        case "watch":
            play.watch(pods)
        case "up":
            machine.run(["podman", "--version"])
            for change in translation.changes:
                _tell(f"changed: {change}")
            play.up(translation)
            for each in translation.tests if test else ():
                _tell(play.finish(each).rstrip())


def _compose(translation: Translation, *, files: bool) -> None:
    if not files:
        print(compose_file(translation), end="")
        return
    play = Play(COMPOSE, CLOCK, _tell)
    written = {**translation.files, **variables(translation)}
    folders = translation.folders | {path.parent for path in written}
    play.write(replace(translation, files=written, folders=folders))


def compose_file(translation: Translation) -> str:
    """Return ``deploy/compose.yaml``."""
    return COMPOSE_HEAD + compose_text(compose(translation, COMPOSE))


def _tell(text: str) -> None:
    sys.stderr.write(f"kube-play: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
