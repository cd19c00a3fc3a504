"""What both sides say is what was recorded, word for word, and what the official schemas accept."""

import json
import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from maasloop.rsmp.decoding import decode
from maasloop.rsmp.dialect import DIALECTS, Release
from maasloop.rsmp.encoding import encode
from rsmp_conversation import PAIRS, converse, reconnect

RECORDED = Path(__file__).parent / "conversations"
KINDS = {
    "Version",
    "Watchdog",
    "MessageAck",
    "MessageNotAck",
    "AggregatedStatus",
    "AggregatedStatusRequest",
    "Alarm",
    "StatusRequest",
    "StatusResponse",
    "StatusSubscribe",
    "StatusUnsubscribe",
    "StatusUpdate",
    "CommandRequest",
    "CommandResponse",
}
LATER = {"AggregatedStatusRequest"}
"""Core 3.1.5 and newer."""

type Find = Callable[[object], list[str]]


def _text(said: Iterable[tuple[str, bytes]]) -> str:
    return "".join(f"{name}> {packet.decode()}\n" for name, packet in said)


@pytest.mark.parametrize(("core", "listed"), PAIRS, ids=str)
def test_a_conversation_is_as_recorded(core: Release, listed: Release) -> None:
    """The bytes of both sides are those of the recording; MAASLOOP_RECORD=1 records anew, to be read before a commit."""
    said = _text(converse(core, listed).said)
    recording = RECORDED / f"core-{core}.txt"
    if os.environ.get("MAASLOOP_RECORD"):
        recording.write_text(said)

    assert said == recording.read_text()


@pytest.mark.parametrize(("core", "listed"), PAIRS, ids=str)
def test_a_recording_is_read_and_written_without_loss(core: Release, listed: Release) -> None:
    """Each recorded packet decodes to a message that encodes to the same packet, and every kind of message is there."""
    packets = [line.partition("> ")[2].encode() for line in (RECORDED / f"core-{core}.txt").read_text().splitlines()]

    assert [encode(decode(packet, DIALECTS[core]), DIALECTS[core])[:-1] for packet in packets] == packets
    expected = KINDS - (set() if DIALECTS[core].requests_state else LATER)
    assert {json.loads(packet)["type"] for packet in packets} == expected


def _schema(path: Path) -> dict[str, object]:
    """Return a schema without what only the validator of its authors understands, and one slip of theirs.

    They write a list of types as one text, and a recursive pattern for the bands of S0023; and where the answer to a
    command has no value they look for ``q``, which is ``age`` there.
    """
    text = path.read_text()
    if path.parent.name == "commands":
        text = text.replace('"q"', '"age"')

    def repaired(element: dict[str, object]) -> dict[str, object]:
        kind, pattern = element.get("type"), element.get("pattern")
        if isinstance(kind, str) and "," in kind:
            element["type"] = kind.split(", ")
        if isinstance(pattern, str) and "(?<" in pattern:
            del element["pattern"]
        return element

    found: dict[str, object] = json.loads(text, object_hook=repaired)
    return found


@cache
def _judge(schemas: Path, core: Release, listed: Release) -> Find:
    """Return what finds the faults of a message by the schemas of a core version and an exchange list."""

    def retrieve(uri: str) -> Resource[Any]:
        return DRAFT7.create_resource(_schema(Path(uri.removeprefix("file://"))))

    registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg]  # attrs hides it from mypy.
    paths = (schemas / "core" / str(core) / "rsmp.json", schemas / "tlc" / str(listed) / "rsmp.json")
    judges = [Draft7Validator({"$ref": path.as_uri()}, registry=registry) for path in paths]
    return lambda message: [error.message for judge in judges for error in judge.iter_errors(message)]


@pytest.mark.parametrize(("core", "listed"), PAIRS, ids=str)
def test_the_official_schemas_accept_all_that_is_said(core: Release, listed: Release, official_schemas: Path) -> None:
    """Both sides' messages, those after a lost link too, are valid by core and list."""
    link = converse(core, listed)
    reconnect(link)
    faults = _judge(official_schemas, core, listed)

    found = {(each, packet) for _, packet in link.said for each in faults(json.loads(packet))}

    assert not found


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("Watchdog", {"wTs": "2026-01-01T00:00:00Z"}),
        ("AggregatedStatus", {"se": ["true"] * 8}),
        ("StatusSubscribe", {"sS": [{"sCI": "S0001", "n": "stage", "uRt": "5"}]}),
        ("StatusUpdate", {"sS": [{"sCI": "S0001", "n": "bad", "s": "5", "q": "recent"}]}),
        ("CommandRequest", {"arg": [{"cCI": "M0002", "n": "timeplan", "cO": "setPlan", "v": "x"}]}),
        ("Alarm", {"aS": "active"}),
    ],
)
def test_the_official_schemas_find_what_is_wrong(kind: str, change: dict[str, object], official_schemas: Path) -> None:
    """The comparison above can fail: each of these faults is found."""
    core, listed = PAIRS[-1]
    faults = _judge(official_schemas, core, listed)
    packets = [json.loads(packet) for _, packet in converse(core, listed).said]
    message = next(each for each in packets if each["type"] == kind)

    assert not faults(message)
    assert faults(message | change)
