"""The contracts pass buf, break nothing that was released, and what is generated from them is what is committed."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet

from generated import Generated
from generators.descriptors import File

ROOT = Path(__file__).resolve().parents[2]
BASELINE = ROOT / "proto" / "baseline.binpb"
BUF = str(Path(sys.executable).with_name("buf"))
STUBS = ROOT / "libs" / "api" / "src"
REASONS = ROOT / "libs" / "core" / "src" / "maasloop" / "core" / "reasons.py"


def _buf(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [BUF, *arguments, "--config", str(ROOT / "proto" / "buf.yaml")]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def _breaking(image: Path) -> subprocess.CompletedProcess[str]:
    return _buf("breaking", str(image), "--against", str(BASELINE))


def _message(files: FileDescriptorSet, name: str) -> DescriptorProto:
    (found,) = (message for file in files.file for message in file.message_type if message.name == name)
    return found


def test_stubs_have_no_drift(generated: Generated) -> None:
    """Nobody edited a stub, and nobody forgot to run ``make proto``."""
    made = {path.relative_to(generated.stubs): path.read_bytes() for path in _texts(generated.stubs)}
    committed = {path.relative_to(STUBS): path.read_bytes() for path in _texts(STUBS)}

    assert sorted(made) == sorted(committed)
    assert [str(path) for path in made if made[path] != committed[path]] == []


def test_reasons_have_no_drift(generated: Generated) -> None:
    """``maasloop.core.reasons`` says what the contract says."""
    assert generated.reasons.read_text() == REASONS.read_text()


def test_buf_lints(generated: Generated) -> None:
    """The contracts keep buf's standard, comments everywhere included."""
    result = _buf("lint", str(generated.image))

    assert result.returncode == 0, result.stdout


def test_released_contract_sees_no_breaking_change(generated: Generated) -> None:
    """Who was built against the baseline still understands us."""
    result = _breaking(generated.image)

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("change", ["type", "number", "removed"])
def test_breaking_change_is_seen(change: str, generated: Generated, tmp_path: Path) -> None:
    """A field that changes its type or number, or goes away, is reported."""
    files = FileDescriptorSet.FromString(generated.image.read_bytes())
    device = _message(files, "Device")
    (field,) = (field for field in device.field if field.name == "display_name")
    if change == "type":
        field.type = FieldDescriptorProto.TYPE_INT64
    elif change == "number":
        field.number = 1000
    else:
        device.field.remove(field)
    broken = tmp_path / "broken.binpb"
    broken.write_bytes(files.SerializeToString())
    result = _breaking(broken)

    assert result.returncode != 0
    assert "device.proto" in result.stdout
    assert 'display_name"' in result.stdout


def test_lint_sees_missing_comment(generated: Generated, tmp_path: Path) -> None:
    """A field without a comment is reported."""
    files = FileDescriptorSet.FromString(generated.image.read_bytes())
    (file,) = (file for file in files.file if file.name == "maasloop/api/device/v1/device.proto")
    for location in file.source_code_info.location:
        location.ClearField("leading_comments")
    silent = tmp_path / "silent.binpb"
    silent.write_bytes(files.SerializeToString())

    assert _buf("lint", str(silent)).returncode != 0


def test_every_file_is_in_the_image(contract: list[File]) -> None:
    """No contract escapes the checks."""
    written = {path.relative_to(ROOT / "proto").as_posix() for path in (ROOT / "proto").rglob("*.proto")}

    assert {file.proto.name for file in contract} == written


def test_image_needs_nothing_else(generated: Generated) -> None:
    """Compilers of other languages find in it whatever the contracts import."""
    files = FileDescriptorSet.FromString(generated.image.read_bytes()).file

    assert {name for file in files for name in file.dependency} <= {file.name for file in files}


def _texts(folder: Path) -> list[Path]:
    return [path for suffix in ("*.py", "*.pyi") for path in folder.rglob(suffix) if "__pycache__" not in path.parts]
