"""What is in an image: sizes, layers, and a bill of materials (CycloneDX) of its wheels and Debian's packages."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from images.machine import run
from images.plan import ROOT, Image

COMMAND_TIMEOUT_S = 300.0
BIN = Path(sys.executable).parent
DEBIAN = "${Package} ${Version} ${Architecture} ${db:Status-Status}\\n"


def unpacked_bytes(tag: str) -> int:
    """Return what an image takes when it is unpacked, its base with it."""
    return int(run(["podman", "image", "inspect", "--format", "{{.Size}}", tag]))


def identity(tag: str) -> str:
    """Return the digest of an image: of its layers, and of what is said of them."""
    return run(["podman", "image", "inspect", "--format", "{{.Id}}", tag]).strip()


def packed(tag: str, image: Image, layout: Path) -> int:
    """Write an image into an OCI layout and return how many bytes travel when it is pulled."""
    run(["podman", "push", "--quiet", tag, f"oci:{layout}:{image.name}"])
    index = json.loads((layout / "index.json").read_text())["manifests"]
    named = "org.opencontainers.image.ref.name"
    (entry,) = (each for each in index if each.get("annotations", {}).get(named) == image.name)
    manifest = json.loads((layout / "blobs" / entry["digest"].replace(":", "/")).read_text())
    return sum(int(layer["size"]) for layer in manifest["layers"])


def write_bill(image: Image, tag: str, path: Path) -> int:
    """Write the bill of materials of a published image; return how many components it names."""
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(_locked(image), encoding="utf-8")
        command = [str(BIN / "cyclonedx-py"), "requirements", "--output-reproducible", "--of", "JSON", "-o", str(path)]
        quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
        subprocess.run([*command, str(requirements)], check=True, timeout=COMMAND_TIMEOUT_S, env=quiet)
    bill: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    bill["components"] = [*bill.get("components", []), *_debian(tag)]
    bill["metadata"]["component"] = {"type": "container", "name": image.name, "bom-ref": image.name}
    path.write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return len(bill["components"])


def _locked(image: Image) -> str:
    """Return what the lock file gives the image."""
    options = ["--frozen", "--no-dev", "--no-emit-workspace", "--format", "requirements-txt", "--quiet"]
    uv = next(path for path in (ROOT / ".uv" / "bin" / "uv", Path("/opt/uv/bin/uv")) if path.exists())
    return run([str(uv), "export", *options, "--project", str(ROOT), "--package", f"maasloop-{image.member}"])


def _debian(tag: str) -> list[dict[str, str]]:
    query = ["podman", "run", "--rm", "--network=none", "--entrypoint=/usr/bin/dpkg-query", tag, "--show"]
    lines = (line.split() for line in run([*query, f"--showformat={DEBIAN}"]).splitlines())
    return [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:deb/debian/{name}@{quote(version, safe='.~')}?arch={architecture}",
            "bom-ref": f"deb-{name}-{architecture}",
        }
        for name, version, architecture, status in lines
        if status == "installed"
    ]
