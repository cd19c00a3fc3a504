"""``maasloop cluster-secrets``: what a release on a laptop cluster needs, as manifests for ``kubectl apply``."""

from pathlib import Path
from typing import Annotated

import typer

from maasloop.cli.printing import Json, print_json, say


def cluster_secrets(
    directory: Annotated[Path, typer.Argument(help="Where they are kept for the next time; yours alone.")],
    *,
    fullname: Annotated[str, typer.Option(help="What the names of the release's objects begin with.")] = "maasloop",
    namespace: Annotated[str, typer.Option(help="Namespace of the release.")] = "default",
    as_json: Json = False,
) -> None:
    """Print the Secrets of a release with servers of its own; certificates hold a day, and a second call renews them."""
    import base64

    import yaml

    from maasloop.core.clock import SystemClock
    from maasloop.stack.cluster_secrets import Release
    from maasloop.stack.cluster_secrets import cluster_secrets as made

    manifests = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {"app.kubernetes.io/part-of": "maasloop", "app.kubernetes.io/instance": fullname},
            },
            "data": {key: base64.b64encode(content).decode() for key, content in sorted(files.items())},
        }
        for name, files in made(directory, Release(fullname, namespace), SystemClock()).items()
    ]
    if as_json:
        print_json({"apiVersion": "v1", "kind": "List", "items": manifests})
    else:
        say(yaml.safe_dump_all(manifests, sort_keys=False).rstrip())
