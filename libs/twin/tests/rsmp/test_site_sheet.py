"""A sheet that contradicts itself is refused, and each line of the error names its key."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from maasloop.rsmp.errors import SheetInvalid as SecretMissing
from maasloop.rsmp.messages import StatusName
from maasloop.twin.rsmp.secret import read_codes
from maasloop.twin.rsmp.sheet import SheetInvalid, read_sheet

STAGE = {"groups": ["A1"], "length_s": 10}


@pytest.fixture(name="written")
def _written(example: dict[str, Any], tmp_path: Path) -> Callable[..., Path]:
    def write(**changes: object) -> Path:
        path = tmp_path / "sheet.yaml"
        path.write_text(yaml.safe_dump(example | changes))
        return path

    return write


def test_the_example_is_what_its_readers_expect(written: Callable[..., Path]) -> None:
    """Components, plans, lists, core versions and the input that raises an alarm are those that test suites use."""
    sheet = read_sheet(written())

    assert sheet.controller == "TC"
    assert list(sheet.signal_groups) == ["A1", "A2", "B1", "B2"]
    assert list(sheet.detector_logics) == ["DL1", "DL2"]
    assert list(sheet.plans) == [1, 2]
    assert [each.version for each in sheet.exchange_lists] == ["1.2.1", "1.2.0", "1.1.0", "1.1", "1.0.15", "1.2.1"]
    assert (sheet.core_versions[0], sheet.core_versions[-1]) == ("3.1.2", "3.2.2")
    assert sheet.inputs.programming[7].alarm == "A0302"
    assert StatusName("S0001", "signalgroupstatus") in sheet.link.buffered
    assert len(sheet.start_up.sequence) * sheet.start_up.interval_s < 1


def test_the_codes_of_the_example_lie_beside_it(written: Callable[..., Path]) -> None:
    """The sheet holds references; what they lead to is right for its level only, and is not shown."""
    sheet = read_sheet(written())
    codes = read_codes(sheet.security_codes.items(), Path(__file__).resolve().parents[4] / "examples")

    assert codes.right(1, "1111")
    assert codes.right(2, "2222")
    assert not codes.right(2, "1111")
    assert "1111" not in repr(codes) + repr(vars(sheet))


@pytest.mark.parametrize("reference", ["env:NO_SUCH_CODE", "file:no-such-file"])
def test_a_reference_to_nothing_is_named(reference: str, tmp_path: Path) -> None:
    """A secret that is not there is an error with the reference."""
    with pytest.raises(SecretMissing, match=r"env:NO_SUCH_CODE is not set|file:.* cannot be read"):
        read_codes([(1, reference)], tmp_path)


def test_a_code_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A variable holds one code."""
    monkeypatch.setenv("SITE_CODE", "4711")

    assert read_codes([(1, "env:SITE_CODE")], tmp_path).right(1, "4711")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"colour": "red"}, r"colour: Extra inputs"),
        ({"site_id": ""}, r"site_id: "),
        ({"security_codes": {1: "1111", 2: "file:x"}}, r"security_codes\.1: "),
        ({"security_codes": {1: "env:X"}}, r"security_codes\.2: a reference is needed"),
        ({"core_versions": ["3.1.9"]}, r"core_versions: core 3\.1\.9 is not spoken"),
        ({"core_versions": ["new"]}, r"core_versions: a version like 3\.1\.5"),
        ({"exchange_lists": [{"version": "9.9"}]}, r"exchange_lists\.0\.version: exchange list 9\.9\.0 is not known"),
        ({"signal_groups": {"A1": {"yellow_s": -1}}}, r"signal_groups\.A1\.yellow_s: "),
        ({"intergreen_s": {"A1": {"B1": 5}}}, r"intergreen_s\.A1\.B1: the other direction, intergreen_s\.B1\.A1"),
        ({"intergreen_s": {"A1": {"B1": 2}, "B1": {"A1": 5}}}, r"intergreen_s\.A1\.B1: shorter than the yellow of A1"),
        ({"intergreen_s": {"A1": {"Z": 5}, "Z": {"A1": 5}}}, r"intergreen_s\.A1\.Z: Z is no signal group"),
        ({"plans": {1: {"cycle_s": 40, "stages": [{"groups": ["A1", "B1"], "length_s": 9}]}}}, r"A1 and B1 conflict"),
        ({"plans": {2: {"cycle_s": 40, "stages": [STAGE]}}}, r"default_plan: plan 1 is not in plans"),
        ({"plans": {1: {"cycle_s": 0, "stages": [STAGE]}}}, r"plans\.1\.cycle_s: "),
        ({"traffic_situations": {1: 7}}, r"traffic_situations\.1: plan 7"),
        ({"week_table": {0: 12}}, r"week_table\.0: day table 12 is not in day_tables"),
        ({"day_tables": {1: [{"at": "25:00", "plan": 1}]}}, r"day_tables\.1\.0\.at: "),
        ({"time_zone": "Moon"}, r"time_zone: no such time zone"),
        ({"emergency_routes": {1: ["A1", "B2"]}}, r"emergency_routes\.1: A1 and B2 conflict"),
        ({"detector_logics": {"TC": {"group": "A1"}}}, r"component id TC is given twice"),
        ({"detector_logics": {"DL1": {"group": "C"}, "DL2": {"group": "A1"}}}, r"DL1\.group: C is no signal group"),
        ({"inputs": {"count": 2, "programming": {7: {"all_red": True}}}}, r"programming\.7: there are only 2 inputs"),
        ({"inputs": {"programming": {7: {"alarm": "A9"}}}}, r"programming\.7\.alarm: A9 is not in"),
        ({"inputs": {"programming": {7: {"alarm": "A0302", "component": "A1"}}}}, r"belongs to a detector logic"),
        ({"inputs": {"programming": {7: {"alarm": "A0302", "component": "DL1"}}}}, r"7\.values: A0302 detector"),
        ({"link": {"reconnect_s": 0}}, r"link\.reconnect_s: "),
        ({"start_up": {"sequence": "exg"}}, r"start_up\.sequence: "),
    ],
)
def test_what_is_wrong_is_named(written: Callable[..., Path], changes: dict[str, object], problem: str) -> None:
    """Each contradiction is refused with its key."""
    with pytest.raises(SheetInvalid, match=problem):
        read_sheet(written(**changes))


@pytest.mark.parametrize("text", ["- a list", "a: [", "", "x" * 300_000])
def test_what_is_no_sheet_is_refused(tmp_path: Path, text: str) -> None:
    """Other YAML, none, and a file that is too large are errors of the sheet."""
    path = tmp_path / "sheet.yaml"
    path.write_text(text)

    with pytest.raises(SheetInvalid):
        read_sheet(path)
