"""Which images there are, and how each is built."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from images.machine import build_limits, run
from maasloop.stack.servers.databases import SERVICES

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "deploy" / "docker"
HOST_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
"""Whom this machine trusts: a build fetches wheels the way this machine does."""
SHIPPED_MAX_MIB = 280
DATABASE_MAX_MIB = 600
EPOCH = 0
"""Time of an image and of what its layers add: the same content gives the same layer, whatever the day and the commit."""
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Image:
    """An image of Maasloop."""

    member: str
    """What of the workspace it holds, or which server."""
    unpacked_max_mib: int = SHIPPED_MAX_MIB
    published: bool = True

    @property
    def name(self) -> str:
        """The name that the chart gives."""
        return f"maasloop-{self.member}" if self.published else f"maasloop-test-{self.member}"


NATS = Image("nats", published=False)
TIMESCALEDB = Image("timescaledb", DATABASE_MAX_MIB, published=False)
IMAGES: tuple[Image, ...] = (*(Image(service) for service in SERVICES), Image("cli"), NATS, TIMESCALEDB)


@dataclass(frozen=True, slots=True)
class Source:
    """What all images of one build share."""

    version: str
    revision: str
    """Commit, with ``-dirty`` where what is built is not what was committed."""


def build(image: Image, source: Source, base: str, scratch: Path, *, cached: bool = True, tag: str = "") -> str:
    """Build an image and return the name under which podman has it; its tag is the version, or another."""
    named = f"localhost/{image.name}:{tag or source.version}"
    file, context, arguments = _recipe(image, source, base, scratch)
    options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    options += ["--pull=never", "--network=host", f"--timestamp={EPOCH}", *build_limits()]
    options += [] if cached else ["--no-cache"]
    if HOST_AUTHORITIES.exists():
        options.append(f"--volume={HOST_AUTHORITIES}:{HOST_AUTHORITIES}:ro")
    run(["podman", "build", *options, f"--file={file}", f"--tag={named}", str(context)])
    return named


def _recipe(image: Image, source: Source, base: str, scratch: Path) -> tuple[Path, Path, dict[str, str]]:
    """Return Dockerfile, context and arguments."""
    if image is NATS:
        shutil.copy2(Path(sys.executable).parent / "nats-server", scratch / "nats-server")
        return DOCKER / "test" / "nats.Dockerfile", scratch, {}
    if image is TIMESCALEDB:
        return DOCKER / "test" / "timescaledb.Dockerfile", DOCKER / "test", {"BASE": base}
    arguments = {"BASE": base, "SERVICE": image.member, "VERSION": source.version, "REVISION": source.revision}
    return DOCKER / "Dockerfile", ROOT, arguments


def source_of(version: str) -> Source:
    """Describe the checkout."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            [shutil.which("git") or "git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "libs", "services", "deploy/docker", "uv.lock", "pyproject.toml")
    revision = git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    return Source(version, revision)
