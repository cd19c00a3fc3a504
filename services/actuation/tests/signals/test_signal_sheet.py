"""The data sheet of a junction: read and written without loss, refused where it contradicts itself."""

import json
from typing import Any

import pytest

from maasloop.actuation.domain.signals.sheet import Sheet
from maasloop.actuation.domain.signals.sheet_data import read_sheet, write_sheet
from maasloop.core.errors import InvalidArgument


def test_a_sheet_survives_json(sheet: Sheet) -> None:
    """What is written as JSON is read back as the same sheet."""
    assert read_sheet(json.loads(json.dumps(write_sheet(sheet)))) == sheet


def test_a_lane_reached_past_feeders_only_survives_json(sheet_data: dict[str, Any]) -> None:
    """It is said of one lane, in no other words than true and false, and needs a feeder."""
    sheet_data["lanes"][0]["only_from_feeders"] = True
    with pytest.raises(InvalidArgument, match="lane-a is reached past feeders only, and none serves it"):
        read_sheet(sheet_data)
    before = {"id": "loop-before", "position": "feeder", "distance_m": 264.0, "serves": [["lane-a", 0.8]]}
    sheet_data["detectors"].append(before)
    sheet = read_sheet(sheet_data)

    assert [lane.id for lane in sheet.lanes if lane.only_from_feeders] == ["lane-a"]
    assert read_sheet(json.loads(json.dumps(write_sheet(sheet)))) == sheet
    sheet_data["lanes"][0]["only_from_feeders"] = "no"
    with pytest.raises(InvalidArgument, match="only_from_feeders is 'no', which is neither true nor false"):
        read_sheet(sheet_data)


def test_an_unknown_pair_conflicts(sheet: Sheet) -> None:
    """Groups about which nothing is said conflict, with the longest intergreen of the sheet."""
    assert set(sheet.foes["e"]) == {"a", "b", "c", "d"}
    assert sheet.intergreen_s("a", "e") == 2.0


def _break(data: dict[str, Any], what: str) -> None:
    if what == "both":
        data["compatible"].append(["a", "c"])
    elif what == "intergreen":
        data["intergreens"] = [row for row in data["intergreens"] if row[:2] != ["a", "c"]]
    elif what == "yield":
        data["yields"].append(["b", "d"])
    elif what == "yield conflict":
        data["yields"].append(["a", "c"])
    elif what == "yellow":
        data["groups"][0]["yellow_s"] = 3
    elif what == "minimum green":
        data["groups"][0]["minimum_green_s"] = 2
    elif what == "local conflict":
        data["local"]["steps"][0]["state"] = "GGGgr"
    elif what == "local yellow":
        data["local"]["steps"][1]["duration_s"] = 3
    elif what == "local protected":
        data["local"]["steps"][0]["state"] = "GGrGr"
    elif what == "local intergreen":
        del data["local"]["steps"][5]
    elif what == "local dark":
        data["local"]["steps"][2]["state"] = "OOOOO"


@pytest.mark.parametrize(
    ("what", "pair"),
    [
        ("both", "a/c"),
        ("intergreen", "a/c"),
        ("yield", "b/d"),
        ("yield conflict", "a/c"),
        ("yellow", "a"),
        ("minimum green", "a"),
        ("local conflict", "a/c"),
        ("local yellow", "a"),
        ("local protected", "d/b"),
        ("local intergreen", "c/a"),
        ("local dark", ""),
    ],
)
def test_a_contradiction_is_refused_with_its_pair(sheet_data: dict[str, Any], what: str, pair: str) -> None:
    """A sheet that contradicts itself is refused, and the error names the pair that does."""
    _break(sheet_data, what)
    with pytest.raises(InvalidArgument) as caught:
        read_sheet(sheet_data)
    assert caught.value.reason == "DATA_SHEET_INVALID"
    assert caught.value.metadata["pair"] == pair


@pytest.mark.parametrize("path", ["groups", "local", "junction", "lanes"])
def test_a_malformed_sheet_is_refused(sheet_data: dict[str, Any], path: str) -> None:
    """A sheet that lacks a part is refused as malformed, not with a crash."""
    del sheet_data[path]
    with pytest.raises(InvalidArgument) as caught:
        read_sheet(sheet_data)
    assert caught.value.reason == "DATA_SHEET_INVALID"
