"""Prometheus and its tool: the machine's own, else those of the distribution's packages, unpacked into ``.maasloop/tools``.

Installing the package would start a server at every boot; nobody who only tests wants that.
"""

import fcntl
import shutil
import subprocess
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / ".maasloop" / "tools" / "prometheus"
TIMEOUT_S = 150.0


def binary(name: str) -> str:
    """Return the path of ``prometheus`` or ``promtool``, each in a package of its name."""
    found = shutil.which(name)
    if found is not None:
        return found
    unpacked = TOOLS / name / "usr" / "bin" / name
    TOOLS.mkdir(parents=True, exist_ok=True)
    # Tests run side by side, and the second of two waits for what the first fetches.
    with (TOOLS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not unpacked.is_file():
            _unpack(name)
    return str(unpacked)


def _unpack(package: str) -> None:
    """Fetch a package with lists of its own: a machine may have none, and those of the system are not ours."""
    part = TOOLS / f"{package}.part"
    shutil.rmtree(part, ignore_errors=True)
    for folder in ("lists/partial", "cache/archives/partial"):
        (part / folder).mkdir(parents=True)
    apt = ["/usr/bin/apt-get", "-o", f"Dir::State::Lists={part}/lists", "-o", f"Dir::Cache={part}/cache"]
    try:
        for step in (["update"], ["download", package]):
            subprocess.run([*apt, *step], cwd=part, check=True, capture_output=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        message = f"no {package} here, and its package cannot be had: apt-get install --no-install-recommends {package}"
        raise RuntimeError(message) from error
    (archive,) = part.glob("*.deb")
    subprocess.run(
        ["/usr/bin/dpkg-deb", "--extract", archive, part], check=True, capture_output=True, timeout=TIMEOUT_S
    )
    for folder in ("lists", "cache"):
        shutil.rmtree(part / folder)
    part.replace(TOOLS / package)
