"""The base: the smallest Debian by debootstrap, brought up to date, without what no container reads.

The same packages give the same layer, byte by byte: files have the order of their names and no time after the commit's.
What another day's Debian changes is in the list of packages.
"""

import shutil
import tempfile
from pathlib import Path

from images.machine import run
from maasloop.stack.errors import StackError

SUITE = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
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


def base_image(epoch: int, tag: str = SUITE) -> str:
    """Make the base and return its name."""
    scratch = Path(tempfile.mkdtemp(prefix="maasloop-base-"))
    root = scratch / "root"
    try:
        suites = archives()
        options = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
        run(["debootstrap", *options, SUITE, str(root), suites[SUITE]])
        _bring_up_to_date(root, suites)
        cut(root)
        archive = scratch / "root.tar"
        order = ["--sort=name", "--numeric-owner", "--clamp-mtime", f"--mtime=@{epoch}", "--format=gnu"]
        run(["tar", *order, "-C", str(root), "-cf", str(archive), "."])
        name = f"{IMAGE}:{tag}"
        run(["podman", "import", "--quiet", str(archive), name])
    finally:
        _remove(scratch, root)
    return name


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
