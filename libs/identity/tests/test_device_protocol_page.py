"""The page for makers of devices shows an envelope that its key opens."""

import json
import re
from pathlib import Path

import pytest

from maasloop.identity.command_keys import VerificationKeys
from maasloop.identity.commands import CommandGuard, CommandRefused, Refusal

PAGE = Path(__file__).parents[3] / "docs" / "device-protocol.md"
NOW_US = 1_764_000_000_000_000


def test_the_example_of_the_page_is_a_command_that_a_device_takes() -> None:
    """The envelope opens with the key beside it, holds the payload above it, and is refused after its expiry."""
    section = PAGE.read_text(encoding="utf-8").partition("## A command\n")[2].partition("### Setpoints\n")[0]
    shown, envelope, key = re.findall(r"```(?:json|text)\n(.*?)\n```", section, re.DOTALL)[:3]
    guard = CommandGuard("noord", ["lamp-0042"], VerificationKeys.parse(json.dumps({"keys": [json.loads(key)]})))

    opened = guard.open(envelope.encode(), device="lamp-0042", now_us=NOW_US)

    assert json.loads(opened.payload) == json.loads(shown)
    with pytest.raises(CommandRefused) as caught:
        guard.open(envelope.encode(), device="lamp-0042", now_us=int(json.loads(shown)["expireTimeUs"]))
    assert caught.value.reason is Refusal.EXPIRED
