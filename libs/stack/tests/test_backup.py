"""What a backup refuses, and streams that come back from files; the whole is a story of its own (tests/e2e)."""

import json
from pathlib import Path

import pytest

from maasloop.bus.connection import connect
from maasloop.bus.rights import keeper_rights
from maasloop.bus.streams import STREAMS
from maasloop.core.errors import Unavailable
from maasloop.stack import snapshots
from maasloop.stack.backup import Compared, Manifest
from maasloop.stack.errors import StackError

STREAM = "OBSERVATIONS"
MESSAGES = 300
BODY = bytes(range(256)) * 16


async def test_a_stream_comes_back_from_its_file(nats_url: str, tmp_path: Path) -> None:
    """Messages, bytes and sequences are those of before, and what was stored since the snapshot is gone."""
    path = tmp_path / "stream"
    async with connect(nats_url, name="test") as bus:
        config = {"name": STREAM, "subjects": ["facts.>"], "storage": "file", "retention": "limits"}
        await bus.api(f"STREAM.CREATE.{STREAM}", config)
        for number in range(MESSAGES):
            await bus.publish(f"facts.{number % 3}", BODY, {"Nats-Msg-Id": str(number)})
        await bus.api(f"STREAM.MSG.DELETE.{STREAM}", {"seq": 1})
        before = await snapshots.state_of(bus, STREAM)
        described = await snapshots.save(bus, STREAM, path)
        await bus.publish("facts.1", BODY, {"Nats-Msg-Id": "later"})

        restored = await snapshots.load(bus, STREAM, path, json.loads(json.dumps(described)))

        assert before is not None
        assert restored == before == await snapshots.state_of(bus, STREAM)
        assert restored.messages == MESSAGES - 1
        assert await bus.publish("facts.1", BODY, {"Nats-Msg-Id": "after"}) == MESSAGES + 1


async def test_what_cannot_be_copied_says_why(nats_url: str, tmp_path: Path) -> None:
    """A stream that is not there is no snapshot, and half a file is no stream."""
    path = tmp_path / "stream"
    async with connect(nats_url, name="test") as bus:
        with pytest.raises(Unavailable, match="not found"):
            await snapshots.save(bus, "NOTHING", path)
        config = {"name": STREAM, "subjects": ["facts.>"], "storage": "file"}
        await bus.api(f"STREAM.CREATE.{STREAM}", config)
        for number in range(MESSAGES):
            await bus.publish("facts.1", BODY, {"Nats-Msg-Id": str(number)})
        described = await snapshots.save(bus, STREAM, path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

        with pytest.raises(Unavailable, match=STREAM):
            await snapshots.load(bus, STREAM, path, described)


def test_a_directory_without_a_manifest_is_no_backup(tmp_path: Path) -> None:
    """A backup that was interrupted is told from a whole one, and one of another format from ours."""
    with pytest.raises(StackError, match=r"manifest\.json is missing"):
        Manifest.read(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(StackError, match="format 2"):
        Manifest.read(tmp_path)


def test_a_count_that_differs_is_not_equal() -> None:
    """One row less is a difference."""
    assert Compared("timeseries.custody", 3, 3).equal
    assert not Compared("timeseries.custody", 3, 2).equal


def test_the_keeper_may_copy_streams_and_hears_nobody() -> None:
    """It is asked for each stream by name, hears its own inboxes, and may read no message nor record one."""
    rights = keeper_rights()
    text = json.dumps([rights.publish, rights.subscribe])
    assert all(f"$JS.API.STREAM.SNAPSHOT.{stream.name}" in rights.publish for stream in STREAMS)
    assert rights.subscribe == ("_INBOX_keeper.>",)
    assert "maasloop." not in text
    assert "MSG.GET" not in text
