"""What images are made of: the chart's names, a base without ballast, servers of tests that are never published."""

from pathlib import Path

import pytest
import yaml

from images import machine
from images.base import NOT_READ, cut
from images.plan import IMAGES
from maasloop.stack.errors import StackError

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "deploy" / "docker"


def _image_names(values: object) -> set[str]:
    """Return every image that values name."""
    if not isinstance(values, dict):
        return set()
    image = values.get("image")
    own = {str(image["name"])} if isinstance(image, dict) and "name" in image else set()
    return own.union(*(_image_names(each) for each in values.values()))


def test_every_image_that_the_chart_names_is_built() -> None:
    """Nobody has to guess where an image of the chart comes from, and none is built that nothing runs."""
    values = yaml.safe_load((ROOT / "deploy/helm/maasloop/values.yaml").read_text())

    assert _image_names(values) == {image.name for image in IMAGES}


def test_servers_of_tests_are_known_by_their_names() -> None:
    """What is never published says so, and only that."""
    assert {image.name for image in IMAGES if "test" in image.name} == {
        image.name for image in IMAGES if not image.published
    }


def test_the_base_is_cut(tmp_path: Path) -> None:
    """Folders that no container reads are empty, what programs need is left, and a missing folder is no failure."""
    for name in (*NOT_READ[:4], "usr/share/zoneinfo"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("x")

    cut(tmp_path)

    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"usr/share/zoneinfo/file"}


def test_bytecode_is_never_compared_with_its_source() -> None:
    """Layers with one time for all files would have Python compile everything at each start."""
    assert "PYC_INVALIDATION_MODE=UNCHECKED_HASH" in (DOCKER / "Dockerfile").read_text()


@pytest.mark.parametrize("name", ["nats", "timescaledb"])
def test_servers_of_tests_are_no_root_either(name: str) -> None:
    """The chart runs them under the same rules as services."""
    assert "USER 10001:10001" in (DOCKER / "test" / f"{name}.Dockerfile").read_text()


def test_a_missing_program_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who has no podman hears what to install."""
    monkeypatch.setattr(machine, "PROGRAMS", ("a-program-that-is-nowhere",))

    with pytest.raises(StackError, match=r"not found[\s\S]*apt-get install .*podman"):
        machine.require(install=False, log_directory=tmp_path)


def test_a_failing_command_says_what_it_said() -> None:
    """The last lines of a command that fails are in the error."""
    with pytest.raises(StackError, match=r"status 2[\s\S]*no-such-file"):
        machine.run(["ls", "/no-such-file"])
