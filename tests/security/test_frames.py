"""Some thousand frames before authentication: no process ends, none grows."""

from pathlib import Path

import pytest
from tests.security.lanes import frames
from tests.security.outcome import Plan

TIMEOUT_S = 180


@pytest.mark.integration
@pytest.mark.timeout(TIMEOUT_S)
async def test_frames_before_authentication_end_no_process() -> None:
    """Random and mutated MQTT, NATS, HTTP and gRPC end neither a server nor a service, and nothing unforeseen is logged."""
    outcome = await frames.run(Plan(seed=5, scale=0.002))

    assert outcome.figures["crashes"] == 0, outcome.notes
    assert outcome.figures["rss_growth_mib"] <= frames.RSS_MIB, outcome.notes


def test_a_traceback_in_a_log_is_seen(tmp_path: Path) -> None:
    """What a handler did not foresee leaves a mark that is counted."""
    log = tmp_path / "service.log"
    log.write_text("all well\nTraceback (most recent call last):\n  File x\nKeyError: 1\n")

    assert frames.unforeseen(log) == 1
