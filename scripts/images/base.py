"""The base: the smallest Debian by debootstrap, brought up to date, without what no container reads.

The same packages give the same image, byte by byte: files have the order of their names and no time after the newest that
a package brought, and what tells one making from another is cut. What another day's Debian changes is in its packages.
"""

import datetime as dt
import hashlib
import json
import shutil
import tarfile
import tempfile
from pathlib import Path

from images.machine import run
from maasloop.stack.errors import StackError

SUITE = "trixie"
PACKAGES = ("ca-certificates", "python3")
IMAGE = "localhost/maasloop-base"
NOT_READ = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/bug",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/aarch64-linux-gnu/gconv",
    "var/cache/apt",
    "var/cache/debconf",
    "var/cache/ldconfig",
    "var/lib/apt/lists",
    "var/log",
)
"""What documents, translates to languages or character sets that nobody here speaks, or only records the making."""
WITHOUT_DOCUMENTS = "".join(
    f"path-exclude /usr/share/{name}/*\n" for name in ("doc", "info", "locale", "man", "lintian", "bug")
)
CACHES = "".join(f'DPkg::Post-Invoke {{ "rm -f {path} || true"; }};\n' for path in ("/var/cache/apt/archives/*.deb",))


def base_image(tag: str = SUITE) -> str:
    """Make the base and return its name."""
    scratch = Path(tempfile.mkdtemp(prefix="maasloop-base-"))
    root = scratch / "root"
    begun_s = scratch.stat().st_mtime
    name = f"{IMAGE}:{tag}"
    try:
        suites = archives()
        options = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
        run(["debootstrap", *options, SUITE, str(root), suites[SUITE]])
        _bring_up_to_date(root, suites)
        cut(root)
        newest_s = newest_of_packages(root, begun_s)
        order = ["--sort=name", "--numeric-owner", "--clamp-mtime", f"--mtime=@{newest_s}", "--format=gnu"]
        run(["tar", *order, "-C", str(root), "-cf", str(scratch / "layer.tar"), "."])
        run(["podman", "load", "--quiet", f"--input={_archive(scratch, name, newest_s)}"])
    finally:
        _remove(scratch, root)
    return name


def newest_of_packages(root: Path, begun_s: float) -> int:
    """Return the time of the newest file that a package brought; what the making wrote is younger."""
    times = (path.lstat().st_mtime for path in root.rglob("*"))
    return int(max(time for time in times if time < begun_s))


def _archive(scratch: Path, name: str, made_s: int) -> Path:
    """Pack ``layer.tar`` as an image that says of its making only what is the same each time (podman import says when)."""
    with (scratch / "layer.tar").open("rb") as layer:
        digest = hashlib.file_digest(layer, "sha256").hexdigest()
    made = dt.datetime.fromtimestamp(made_s, dt.UTC).isoformat().replace("+00:00", "Z")
    description = {
        "architecture": run(["dpkg", "--print-architecture"]).strip(),
        "os": "linux",
        "created": made,
        "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created": made, "created_by": f"debootstrap {SUITE}"}],
    }
    contents = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    (scratch / "config.json").write_text(json.dumps(description))
    (scratch / "manifest.json").write_text(json.dumps(contents))
    with tarfile.open(scratch / "image.tar", "w") as archive:
        for part in ("manifest.json", "config.json", "layer.tar"):
            archive.add(scratch / part, part)
    return scratch / "image.tar"


def _remove(scratch: Path, root: Path) -> None:
    """Remove what was made, and nothing of this machine: debootstrap that fails leaves its mounts."""
    for mounted in (root / "proc", root / "sys", root / "dev/pts", root / "dev"):
        if mounted.is_mount():
            run(["umount", "--lazy", str(mounted)])
    shutil.rmtree(scratch, ignore_errors=True)


def archives() -> dict[str, str]:
    """Return the addresses from which this machine takes the suites of the release, by suite."""
    form = "$(RELEASE) $(REPO_URI) $(COMPONENT)"
    told = run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"])
    lines = (line.split() for line in told.splitlines())
    found = {line[0]: line[1] for line in lines if line[0].startswith(SUITE) and line[2] == "main"}
    if SUITE not in found:
        raise StackError(
            "images", f"apt of this machine knows no suite {SUITE}", next_step=f"add {SUITE} to its sources"
        )
    return found


def _bring_up_to_date(root: Path, suites: dict[str, str]) -> None:
    """Take what was mended since the release; a mirror has the release only."""
    lines = [f"deb {address} {suite} main\n" for suite, address in sorted(suites.items())]
    (root / "etc/apt/sources.list").write_text("".join(lines))
    (root / "etc/dpkg/dpkg.cfg.d/without-documents").write_text(WITHOUT_DOCUMENTS)
    (root / "etc/apt/apt.conf.d/no-caches").write_text(CACHES)
    within = ["chroot", str(root), "/usr/bin/env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    run([*within, "update"])
    run([*within, "dist-upgrade", "--yes", "--no-install-recommends"])


def cut(root: Path) -> None:
    """Empty the folders of ``NOT_READ``, and what tells one making from another."""
    for name in NOT_READ:
        folder = root / name
        if folder.is_dir():
            shutil.rmtree(folder)
            folder.mkdir()
    for name in ("etc/machine-id", "etc/hostname", "etc/resolv.conf", "var/lib/dpkg/status-old"):
        (root / name).unlink(missing_ok=True)
    for name in ("etc/passwd-", "etc/shadow-", "etc/group-", "etc/gshadow-", "var/lib/dpkg/diversions-old"):
        (root / name).unlink(missing_ok=True)
    shadow = root / "etc/shadow"
    if shadow.exists():
        # The third field is the day of the last change of a password: nobody has one, and every making has its day.
        entries = (line.split(":") for line in shadow.read_text().splitlines())
        shadow.write_text("".join(":".join([*entry[:2], "", *entry[3:]]) + "\n" for entry in entries))
