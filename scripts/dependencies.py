"""What the lock file names: ``sbom`` writes it as CycloneDX into ``dist/``, ``audit`` asks for known vulnerabilities.

The bill of materials needs no network. The audit ends with status 1 where it found a vulnerability, and with
``UNREACHABLE`` where no database answered: nothing is known then, which is not the same as nothing found.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SBOM = ROOT / "dist" / "maasloop.cdx.json"
COMMAND_TIMEOUT_S = 300
UNREACHABLE = 3
"""Status of an audit that no database answered."""
NOT_KNOWN = "no database of vulnerabilities answered, so nothing is known"


def export(path: Path) -> None:
    """Write what a service is built of, with hashes, as a requirements file."""
    uv = next(path for path in (ROOT / ".uv" / "bin" / "uv", Path("/opt/uv/bin/uv")) if path.exists())
    options = ["--frozen", "--no-dev", "--no-emit-workspace", "--format", "requirements-txt", "--quiet"]
    subprocess.run(
        [str(uv), "export", *options, "--project", str(ROOT), "--output-file", str(path)],
        check=True,
        timeout=COMMAND_TIMEOUT_S,
        stdout=subprocess.DEVNULL,
    )


def sbom(to: Path = SBOM) -> int:
    """Write the bill of materials, the same bytes for the same lock file; return how many components it has."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch) / "requirements.txt"
        export(requirements)
        command = [str(BIN / "cyclonedx-py"), "requirements", "--output-reproducible", "--pyproject"]
        command += [str(ROOT / "pyproject.toml"), "--of", "JSON", "-o", str(to), str(requirements)]
        # What it warns of, that the root names no dependencies, is so for every list of requirements.
        quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
        subprocess.run(command, check=True, timeout=COMMAND_TIMEOUT_S, env=quiet)
    return len(json.loads(to.read_text(encoding="utf-8"))["components"])


def audit(requirements: Path, environment: Mapping[str, str] = os.environ) -> tuple[int, str]:
    """Return the exit status and what there is to tell of a requirements file with hashes."""
    command = [str(BIN / "pip-audit"), "--requirement", str(requirements), "--disable-pip", "--format", "json"]
    done = subprocess.run(
        [*command, "--progress-spinner", "off"],
        check=False,
        capture_output=True,
        text=True,
        env=dict(environment),
        timeout=COMMAND_TIMEOUT_S,
    )
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        return UNREACHABLE, f"{NOT_KNOWN}: {last[:200]}"
    judged = [package for package in packages if "skip_reason" not in package]
    if not judged:
        return UNREACHABLE, f"{NOT_KNOWN}: it knows none of {len(packages)} packages"
    found = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'none'}"
        for package in judged
        for found in package["vulns"]
    ]
    unknown = len(packages) - len(judged)
    told = f"{len(judged)} packages, {len(found)} known vulnerabilities, {unknown} packages that the database does not know"
    return (1 if found else 0), "\n".join([*found, told])


def main() -> int:
    """Do what the only argument says."""
    match sys.argv[1:]:
        case ["sbom"]:
            print(f"{SBOM.relative_to(ROOT)}: {sbom()} components")
            return 0
        case ["audit"]:
            with tempfile.TemporaryDirectory() as scratch:
                export(Path(scratch) / "requirements.txt")
                status, told = audit(Path(scratch) / "requirements.txt")
            print(told)
            return status
    print("usage: dependencies.py sbom|audit", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
