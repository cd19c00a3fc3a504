"""What there is to tell of the images that were built: as JSON, for the terminal, and as a page of the documentation."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

HEAD = """# Container images

Written by `make images ARGS=--report`; with `--twice` each image is built again from nothing, its base too, and compared. Sizes hold the
base; what is compressed travels, and the base travels once for all. [How to build and run them](../how-to/run-in-containers.md).
"""
ANSWER = {True: "yes", False: "no", None: "not tried"}


@dataclass(frozen=True, slots=True)
class Built:
    """What there is to tell of an image."""

    image: str
    unpacked_mib: float
    unpacked_max_mib: int
    seconds: float
    identity: str
    """Digest of the image."""
    compressed_mib: float = 0.0
    """What travels when it is pulled; 0 where it was not packed."""
    components: int = 0
    """Of its bill of materials; 0 where there is none."""
    same_again: bool | None = None
    """Whether a second building gave the same digest; nothing where there was none."""


def write_json(built: Sequence[Built], path: Path) -> None:
    """Write the figures for programs."""
    path.write_text(as_json(built) + "\n", encoding="utf-8")


def as_json(built: Sequence[Built]) -> str:
    """Return the figures for programs."""
    return json.dumps([asdict(each) for each in built], indent=2)


def table(built: Sequence[Built]) -> str:
    """Return the figures for the terminal."""
    head = f"{'image':<28} {'unpacked MiB':>12} {'compressed MiB':>14} {'seconds':>8} {'components':>10}"
    lines = (
        f"{each.image:<28} {each.unpacked_mib:>12.1f} {each.compressed_mib:>14.1f} {each.seconds:>8.1f} {each.components:>10}"
        for each in built
    )
    return "\n".join([head, *lines])


def page(built: Sequence[Built], base: str) -> str:
    """Return the page; ``base`` is a sentence."""
    lines = [
        "| image | unpacked, MiB | at most | compressed, MiB | components of its bill | the same digest twice |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for each in built:
        bill = str(each.components or "never published")
        same = ANSWER[each.same_again]
        sizes = f"{each.unpacked_mib:.0f} | {each.unpacked_max_mib} | {each.compressed_mib:.0f}"
        lines.append(f"| `{each.image}` | {sizes} | {bill} | {same} |")
    return "\n".join([HEAD, base, "", *lines]) + "\n"
