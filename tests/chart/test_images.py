"""What images are made of: the chart's names, a base without ballast, servers of tests that are never published."""

import os
from pathlib import Path

import pytest
import yaml

import build_images
import containers
from images import base, machine
from images.base import NOT_READ, cut, newest_of_packages
from images.compare import differences
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


def test_a_base_does_not_know_the_day_of_its_making(tmp_path: Path) -> None:
    """Neither passwords nor files tell when it was made: the newest time is that of a package's file."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "shadow").write_text("root:*:20784:0:99999:7:::\n")
    (tmp_path / "of-a-package").touch()
    os.utime(tmp_path / "of-a-package", (1_000, 1_000))

    cut(tmp_path)

    assert (tmp_path / "etc" / "shadow").read_text() == "root:*::0:99999:7:::\n"
    assert newest_of_packages(tmp_path, begun_s=2_000) == 1_000


def test_what_differs_between_two_buildings_is_named() -> None:
    """Changed, missing and added files are told; of many, the first and how many more."""
    assert differences({"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2", "d": "1"}) == ["b", "c", "d"]
    assert differences({f"{each:02}": "1" for each in range(25)}, {})[-2:] == ["19", "5 more"]


def test_a_machine_without_containers_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing can be run that is a failure; a lane that may be left out ends well, and never without a word."""
    monkeypatch.setattr(machine, "PACKAGES", ())
    monkeypatch.setattr(machine, "PROGRAMS", ("a-program-that-is-nowhere",))

    assert containers.main([]) == 1
    assert containers.main(["--where-possible"]) == 0
    assert capsys.readouterr().err.count("containers: not run: images: a-program-that-is-nowhere not found") == 2


@pytest.mark.parametrize(("fresh", "twice", "made"), [(False, False, False), (True, False, True), (False, True, True)])
def test_what_is_built_twice_has_a_base_of_its_own_making(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, fresh: bool, twice: bool, made: bool
) -> None:
    """An older base holds other packages than one made now: it would make every rebuild differ."""
    podman = tmp_path / "podman"
    podman.write_text("#!/bin/sh\necho 1\n")
    podman.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(base, "base_image", lambda: "made")

    assert (build_images.base_for(fresh=fresh, twice=twice) == "made") is made


def test_bytecode_is_never_compared_with_its_source() -> None:
    """Layers with one time for all files would have Python compile everything at each start."""
    assert "compileall -q --invalidation-mode unchecked-hash" in (DOCKER / "Dockerfile").read_text()


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
