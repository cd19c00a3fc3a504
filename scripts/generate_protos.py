"""Generate Python stubs, ``maasloop.core.reasons`` and the buf image from ``proto/``.

Everything comes from installed packages, so that no network is needed: protoc and the well-known types from
``grpcio-tools``, ``google/api`` from ``googleapis-common-protos``, and ``buf/validate`` from the descriptor that
``protovalidate`` carries (it ships no ``.proto`` file; its private module is the reason why the version is pinned).
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import google.api.field_behavior_pb2
import grpc_tools
from google.protobuf import descriptor_pb2
from protovalidate._gen.buf.validate import validate_pb

from generators.descriptors import read_image
from generators.reasons import reasons_source

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "proto"
BASELINE = SOURCES / "baseline.binpb"
STUBS = ROOT / "libs" / "api" / "src"
REASONS = ROOT / "libs" / "core" / "src" / "maasloop" / "core" / "reasons.py"
VALIDATE = "buf/validate/validate.proto"
INIT = '"""Generated from the contracts in ``proto/``; never edited."""\n'


def main() -> None:
    """Write stubs to ``--out``, reasons to ``--reasons`` and a buf image to ``--image``; renew the baseline if told."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=STUBS, help="folder of the generated packages")
    parser.add_argument("--reasons", type=Path, default=REASONS, help="file of the generated reasons")
    parser.add_argument("--image", type=Path, help="also write a buf image here")
    parser.add_argument("--release", action="store_true", help="renew the baseline that later contracts may not break")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        image = arguments.image or Path(scratch) / "image.binpb"
        generate(arguments.out, image, Path(scratch))
        arguments.reasons.write_text(reasons_source(read_image(image)))
        if arguments.release:
            BASELINE.write_bytes(_without_comments(image))


def generate(out: Path, image: Path, scratch: Path) -> None:
    """Write the generated packages into ``out`` and a buf image with comments to ``image``."""
    files = sorted(path.relative_to(SOURCES).as_posix() for path in SOURCES.rglob("*.proto"))
    validate = scratch / "validate.binpb"
    validate.write_bytes(_validate_descriptors())
    includes = Path(google.api.field_behavior_pb2.__file__).parents[2]
    common = [f"--descriptor_set_in={_known_types(scratch, validate, includes)}", f"--proto_path={SOURCES}"]
    _protoc([*common, *_outputs(out), *files, VALIDATE])
    _protoc([*common, "--include_imports", "--include_source_info", f"--descriptor_set_out={image}", *files])
    _make_packages(out)


def _without_comments(image: Path) -> bytes:
    """Return the image as it concerns the wire."""
    files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    for file in files.file:
        file.ClearField("source_code_info")
    return files.SerializeToString(deterministic=True)


def _validate_descriptors() -> bytes:
    """Return protovalidate's own descriptor as a serialized file descriptor set."""
    file = descriptor_pb2.FileDescriptorProto.FromString(validate_pb._DESC.proto.to_binary())  # noqa: SLF001 - protovalidate shows it nowhere else
    return descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()


def _known_types(scratch: Path, validate: Path, includes: Path) -> str:
    """Compile what our files import besides validate.proto; return a path list for ``--descriptor_set_in``."""
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    imports = ["google/api/field_behavior.proto", *(f"google/protobuf/{name}.proto" for name in _WELL_KNOWN)]
    out = scratch / "google.binpb"
    _protoc([f"--proto_path={well_known}", f"--proto_path={includes}", f"--descriptor_set_out={out}", *imports])
    return f"{out}:{validate}"


_WELL_KNOWN = ("descriptor", "any", "duration", "timestamp", "struct", "field_mask")


def _outputs(out: Path) -> list[str]:
    out.mkdir(parents=True, exist_ok=True)
    quiet = [f"--{plugin}_out=quiet:{out}" for plugin in ("mypy", "mypy_grpc")]
    return [f"--{plugin}_out={out}" for plugin in ("python", "grpc_python")] + quiet


def _protoc(arguments: list[str]) -> None:
    binaries = Path(sys.executable).parent
    search = {"PATH": f"{binaries}:/usr/bin:/bin"}
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True, env=search)


def _make_packages(out: Path) -> None:
    """Give every generated folder but the namespace root an ``__init__.py``, so that wheels hold it."""
    for top in (out / "maasloop" / "api", out / "buf"):
        for folder in (top, *(path for path in top.rglob("*") if path.is_dir() and path.name != "__pycache__")):
            (folder / "__init__.py").write_text(INIT)


if __name__ == "__main__":
    main()
