"""The exchange lists hold what the standard's own data say, and judge values by it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from maasloop.rsmp.dialect import Release
from maasloop.rsmp.errors import MessageInvalid
from maasloop.rsmp.exchange_list import TLC_RELEASES, Argument, ExchangeList, tlc
from maasloop.rsmp.messages import StatusName, Value

NEWEST = tlc(TLC_RELEASES[-1])


def _official(schemas: Path, release: Release) -> dict[str, Any]:
    """Return the codes of the official list, by kind."""
    objects = yaml.safe_load((schemas / "tlc" / str(release) / "sxl.yaml").read_text())["objects"].values()
    return {
        kind: {code: entry for each in objects for code, entry in (each.get(kind) or {}).items()}
        for kind in ("statuses", "commands", "alarms")
    }


def _shape(name: str, table: dict[str, Any]) -> tuple[object, ...]:
    kind = {"long": "integer"}.get(table["type"], table["type"]).replace("_", " ")
    columns = {_shape(column, each) for column, each in table.get("items", {}).items()}
    return name, kind, frozenset(map(str, table.get("values", ()))), table.get("optional", False), frozenset(columns)


def _our_shape(argument: Argument) -> tuple[object, ...]:
    columns = frozenset(map(_our_shape, argument.columns.values()))
    return argument.name, argument.type, argument.values, argument.optional, columns


@pytest.mark.parametrize("release", TLC_RELEASES, ids=str)
def test_a_list_holds_what_the_official_one_holds(release: Release, official_schemas: Path) -> None:
    """Codes, arguments, types, words, orders, categories and priorities are those of the official list."""
    official, ours = _official(official_schemas, release), tlc(release)

    for kind, entries in (("statuses", ours.statuses), ("commands", ours.commands), ("alarms", ours.alarms)):
        assert entries.keys() == official[kind].keys()
        for code, entry in entries.items():
            theirs = official[kind][code]
            shapes = {_shape(name, each) for name, each in theirs.get("arguments", {}).items()}
            assert {_our_shape(each) for each in entry.arguments.values()} == shapes, code
            assert entry.order == theirs.get("command", "")
            assert (entry.category, entry.priority) == (theirs.get("category", ""), theirs.get("priority", 0))
            for name, each in theirs.get("arguments", {}).items():
                if "min" in each:
                    assert (entry.arguments[name].minimum, entry.arguments[name].maximum) == (each["min"], each["max"])


@pytest.mark.parametrize(
    ("code", "name", "value", "problem"),
    [
        ("S0001", "signalgroupstatus", "1AB-", ""),
        ("S0001", "signalgroupstatus", "1Z", "does not look like"),
        ("S0001", "cyclecounter", "999", ""),
        ("S0001", "cyclecounter", "1000", "0 to 999 is expected, got '1000'"),
        ("S0001", "cyclecounter", "9" * 5000, "0 to 999 is expected"),
        ("S0001", "cyclecounter", "1.0", "integer is expected"),
        ("S0007", "intersection", "1,2", ""),
        ("S0007", "intersection", "1,256", "0 to 255 is expected, got '256'"),
        ("S0007", "status", "True,false", "boolean list is expected"),
        ("S0007", "source", "forced,moon", "one of calendar_clock"),
        ("S0007", "source", None, "a text is expected"),
        ("S0205", "vehicles", "3,-1", ""),
        ("S0205", "vehicles", "3,-2", "-1 to 65535"),
        ("S0033", "status", ({"r": "7", "t": "2026-01-01T00:00:00.000Z", "s": "queued"},), ""),
        ("S0033", "status", ({"r": "7", "s": "queued"},), r"status\.t is missing"),
        ("S0033", "status", ({"r": "7", "x": "1"},), "'x' is not known"),
        ("S0033", "status", "queued", "an array is expected"),
    ],
)
def test_a_value_is_judged_by_the_list(code: str, name: str, value: Value, problem: str) -> None:
    """Type, range, words, pattern and rows are checked, and the problem names what is expected."""
    found = NEWEST.statuses[code].arguments[name].problem(value)

    assert re.search(problem, found) if problem else not found


@pytest.mark.parametrize(
    ("code", "orders", "values", "problem"),
    [
        ("M0002", ["setPlan"], {"status": "True", "securityCode": "2", "timeplan": "3"}, ""),
        ("M0002", ["setPlan"], {"status": "True", "securityCode": "2"}, "M0002 timeplan missing"),
        ("M0002", ["setPlan"], {"status": "True", "securityCode": "2", "timeplan": "0"}, "M0002 timeplan: 1 to 255"),
        ("M0002", ["setPlan"], {"status": "False", "securityCode": "2", "timeplan": "0"}, ""),
        ("M0002", ["setPlan"], {"status": "False", "securityCode": "2", "timeplan": "x"}, "integer is expected"),
        ("M0002", ["setPlan"], {"status": "False", "securityCode": "2"}, "M0002 timeplan missing"),
        ("M0002", ["setPlan"], {"status": "True", "securityCode": "2", "timeplan": "3", "x": ""}, "'x' is not known"),
        ("M0002", ["bad"], {}, "command M0002 is ordered by setPlan, not by 'bad'"),
        ("M0000", ["bad"], {}, "command M0000 is not in list 1.2.1"),
        (
            "M0022",
            ["requestPriority"],
            {"requestId": "7", "type": "new", "level": "14", "signalGroupId": "SG1", "eta": "20"},
            "",
        ),
        ("M0022", ["requestPriority"], {"requestId": "7", "type": "cancel"}, ""),
        ("M0022", ["requestPriority"], {"requestId": "7", "type": "update"}, "M0022 level missing"),
        ("M0022", ["requestPriority"], {"requestId": "7", "type": "cancel", "level": "15"}, "0 to 14"),
    ],
)
def test_a_command_is_judged_as_a_whole(code: str, orders: list[str], values: dict[str, Value], problem: str) -> None:
    """A command has all its arguments and no other, save what means nothing beside another, and its own word."""
    found = NEWEST.command_problem(code, orders, values)

    assert problem in found if problem else not found


def _status(book: ExchangeList, code: str, name: str) -> bool:
    return not book.status_problem([StatusName(code, name)])


def test_lists_differ_by_their_version() -> None:
    """What a version does not have cannot be asked for in it."""
    first, newest = tlc(Release(1, 0, 15)), NEWEST

    assert _status(first, "S0018", "number")
    assert not _status(newest, "S0018", "number")
    assert not _status(first, "S0033", "status")
    assert _status(newest, "S0033", "status")
    assert not _status(newest, "S0001", "bad")
    assert "M0023" not in first.commands
    assert "A0303" in newest.alarms
    with pytest.raises(MessageInvalid, match=r"exchange list 9\.9\.0 is not known"):
        tlc(Release(9, 9, 0))
