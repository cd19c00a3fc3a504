"""Build the images: six services, the command line, and two servers for laptops and tests that are never published.

Needs podman and debootstrap, and no registry; ``--base`` takes another base than the one that is made here. Beside each
published image lies its bill of materials, in ``dist/images/``; ``report.json`` there has the figures.
"""

import argparse
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from images import base, bill, machine, report
from images.compare import contents, differences
from images.plan import IMAGES, MIB, ROOT, Image, Source, build, source_of
from images.report import Built
from maasloop.core.clock import SystemClock
from maasloop.stack.errors import StackError

OUT = ROOT / "dist" / "images"
PAGE = ROOT / "docs" / "reports" / "images.md"
AGAIN = "again"
"""Tag of what is built a second time."""
CLOCK = SystemClock()


def main(argv: Sequence[str] | None = None) -> int:
    """Build what the arguments say; 1 where an image is larger than it may be or a rebuild differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=[each.member for each in IMAGES], help="these and no others")
    parser.add_argument("--base", default="", help="an image of Debian with apt, instead of the one made here")
    parser.add_argument("--fresh", action="store_true", help="make the base again, though there is one")
    parser.add_argument(
        "--twice",
        action="store_true",
        help="make the base anew, build, build again from nothing, the base too, and compare",
    )
    parser.add_argument("--install", action="store_true", help="install podman and debootstrap where they are missing")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--quick", action="store_true", help="neither bills of materials nor an OCI layout")
    parser.add_argument("--report", action="store_true", help=f"write the figures into {PAGE.relative_to(ROOT)}")
    arguments = parser.parse_args(argv)
    if arguments.report and (arguments.only or arguments.quick):
        parser.error("--report tells all of all images: without --only and --quick")
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
    base_name = arguments.base or base_for(fresh=arguments.fresh, twice=arguments.twice)
    built = [_built(image, source, base_name, arguments) for image in wanted]
    same_base = None
    if arguments.twice:
        same_base = bool(arguments.base) or _base_again(base_name)
        built = [_same_again(image, source, base_name, figures) for image, figures in zip(wanted, built, strict=True)]
    report.write_json(built, OUT / "report.json")
    print(report.as_json(built) if arguments.json else report.table(built))
    if arguments.report:
        PAGE.write_text(report.page(built, _about_base(base_name, same=same_base)), encoding="utf-8")
    large = [each for each in built if each.unpacked_mib > each.unpacked_max_mib]
    for each in large:
        sys.stderr.write(f"{each.image} takes {each.unpacked_mib} MiB, {each.unpacked_max_mib} are allowed\n")
    return int(bool(large) or same_base is False or any(each.same_again is False for each in built))


def base_for(*, fresh: bool, twice: bool) -> str:
    """Return the base: the one that is there, or another; what is built twice is compared with a base of the same hour."""
    name = f"{base.IMAGE}:{base.SUITE}"
    started_s = CLOCK.monotonic_s()
    if not (fresh or twice):
        try:
            machine.run(["podman", "image", "exists", name])
        except StackError:
            _tell(f"images: base by debootstrap ({base.SUITE}) …")
        else:
            _tell(f"images: base {name} is there (--fresh makes it again)")
            return name
    made = base.base_image()
    _tell(f"images: base {bill.unpacked_bytes(made) / MIB:.0f} MiB, {CLOCK.monotonic_s() - started_s:.0f} s")
    return made


def _built(image: Image, source: Source, base_name: str, arguments: argparse.Namespace) -> Built:
    started_s = CLOCK.monotonic_s()
    with tempfile.TemporaryDirectory(prefix="maasloop-image-") as scratch:
        tag = build(image, source, base_name, Path(scratch))
    seconds = CLOCK.monotonic_s() - started_s
    unpacked_mib = bill.unpacked_bytes(tag) / MIB
    _tell(f"images: {image.name} {unpacked_mib:.0f} MiB, {seconds:.0f} s")
    built = Built(image.name, round(unpacked_mib, 1), image.unpacked_max_mib, round(seconds, 1), bill.identity(tag))
    if arguments.quick:
        return built
    return replace(
        built,
        compressed_mib=round(bill.packed(tag, image, OUT / "oci") / MIB, 1),
        components=bill.write_bill(image, tag, OUT / f"{image.name}.cdx.json") if image.published else 0,
    )


def _base_again(base_name: str) -> bool:
    """Make the base a second time and say whether it is the same."""
    again = base.base_image(AGAIN)
    try:
        return _compared("base", base_name, again)
    finally:
        machine.run(["podman", "rmi", again])


def _same_again(image: Image, source: Source, base_name: str, figures: Built) -> Built:
    """Build an image a second time, beside the first."""
    with tempfile.TemporaryDirectory(prefix="maasloop-image-") as scratch:
        again = build(image, source, base_name, Path(scratch), cached=False, tag=AGAIN)
    try:
        return replace(figures, same_again=_compared(image.name, f"localhost/{image.name}:{source.version}", again))
    finally:
        machine.run(["podman", "rmi", again])


def _compared(what: str, one: str, other: str) -> bool:
    if bill.identity(one) == bill.identity(other):
        _tell(f"images: {what} built twice: the same, {bill.identity(one)[:12]}")
        return True
    _tell(f"images: {what} built twice: not the same")
    for path in differences(contents(one), contents(other)) or ["what is said of them, not their files"]:
        _tell(f"    differs: {path}")
    return False


def _about_base(base_name: str, *, same: bool | None) -> str:
    size = bill.unpacked_bytes(base_name) / MIB
    return f"Base of all but the NATS server: {size:.0f} MiB unpacked; the same digest twice: {report.ANSWER[same]}."


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
