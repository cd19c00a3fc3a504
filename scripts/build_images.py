"""Build the images: six services, the command line, and two servers for laptops and tests that are never published.

Needs podman and debootstrap, and no registry; ``--base`` takes another base than the one that is made here. Beside each
published image lies its bill of materials, in ``dist/images/``; ``report.json`` there has the figures.
"""

import argparse
import json
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from images import base, bill, machine
from images.plan import IMAGES, MIB, ROOT, Image, Source, build, source_of
from maasloop.core.clock import SystemClock
from maasloop.stack.errors import StackError

OUT = ROOT / "dist" / "images"
CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Built:
    """What there is to tell of an image."""

    image: str
    unpacked_mib: float
    compressed_mib: float
    seconds: float
    components: int


def main(argv: Sequence[str] | None = None) -> int:
    """Build what the arguments say; 1 where an image is larger than it may be or a rebuild differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=[each.member for each in IMAGES], help="these and no others")
    parser.add_argument("--base", default="", help="an image of Debian with apt, instead of the one made here")
    parser.add_argument("--fresh", action="store_true", help="make the base again, though there is one")
    parser.add_argument("--twice", action="store_true", help="build a second time from nothing and compare the layers")
    parser.add_argument("--install", action="store_true", help="install podman and debootstrap where they are missing")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args(argv)
    try:
        machine.require(install=arguments.install, log_directory=ROOT / ".maasloop" / "log")
        return _build_all(arguments)
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _build_all(arguments: argparse.Namespace) -> int:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    source = source_of(version)
    wanted = [each for each in IMAGES if not arguments.only or each.member in arguments.only]
    OUT.mkdir(parents=True, exist_ok=True)
    base_name = arguments.base or _base(source, fresh=arguments.fresh)
    built = [_built(image, source, base_name) for image in wanted]
    (OUT / "report.json").write_text(json.dumps([asdict(each) for each in built], indent=2) + "\n")
    if arguments.json:
        print(json.dumps([asdict(each) for each in built]))
    else:
        _table(built)
    status = 0
    for image, figures in zip(wanted, built, strict=True):
        if figures.unpacked_mib > image.unpacked_max_mib:
            sys.stderr.write(f"{image.name} takes {figures.unpacked_mib} MiB, {image.unpacked_max_mib} are allowed\n")
            status = 1
        if arguments.twice and not _same_again(image, source, base_name):
            status = 1
    return status


def _base(source: Source, *, fresh: bool) -> str:
    name = f"{base.IMAGE}:{base.SUITE}"
    started_s = CLOCK.monotonic_s()
    if not fresh:
        try:
            machine.run(["podman", "image", "exists", name])
        except StackError:
            _tell(f"images: base by debootstrap ({base.SUITE}) …")
        else:
            _tell(f"images: base {name} is there (--fresh makes it again)")
            return name
    made = base.base_image(source.epoch)
    _tell(f"images: base {bill.unpacked_bytes(made) / MIB:.0f} MiB, {CLOCK.monotonic_s() - started_s:.0f} s")
    return made


def _built(image: Image, source: Source, base_name: str) -> Built:
    started_s = CLOCK.monotonic_s()
    with tempfile.TemporaryDirectory(prefix="maasloop-image-") as scratch:
        tag = build(image, source, base_name, Path(scratch))
    seconds = CLOCK.monotonic_s() - started_s
    components = bill.write_bill(image, tag, OUT / f"{image.name}.cdx.json") if image.published else 0
    compressed = bill.packed(tag, image, OUT / "oci")
    unpacked = bill.unpacked_bytes(tag)
    _tell(f"images: {image.name} {unpacked / MIB:.0f} MiB, {seconds:.0f} s")
    return Built(image.name, round(unpacked / MIB, 1), round(compressed / MIB, 1), round(seconds, 1), components)


def _same_again(image: Image, source: Source, base_name: str) -> bool:
    tag = f"localhost/{image.name}:{source.version}"
    before = bill.layers(tag)
    with tempfile.TemporaryDirectory(prefix="maasloop-image-") as scratch:
        build(image, source, base_name, Path(scratch), cached=False)
    after = bill.layers(tag)
    different = [one for one, other in zip(before, after, strict=False) if one != other]
    _tell(f"images: {image.name} built twice: {len(after) - len(different)} of {len(after)} layers alike")
    return before == after


def _table(built: Sequence[Built]) -> None:
    print(f"{'image':<28} {'unpacked MiB':>12} {'compressed MiB':>14} {'seconds':>8} {'components':>10}")
    for each in built:
        print(
            f"{each.image:<28} {each.unpacked_mib:>12.1f} {each.compressed_mib:>14.1f} {each.seconds:>8.1f} {each.components:>10}"
        )


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
