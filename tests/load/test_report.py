"""The report and the picture of the benches."""

import pytest
from tests.load import profile, report


def test_figures_stand_between_their_marks_however_often_they_are_written() -> None:
    """Writing twice gives the last figures once, and text around the marks stays."""
    text = "# R\n<!-- soak -->\nold\n<!-- /soak -->\nend\n"
    once = report.filled(text, {"soak": "new\n"})
    assert once == "# R\n<!-- soak -->\nnew\n<!-- /soak -->\nend\n"
    assert report.filled(once, {"soak": "new\n"}) == once
    with pytest.raises(ValueError, match="0 places"):
        report.filled(text, {"scale": ""})


def test_stacks_are_counted_outermost_frame_first_and_idle_time_is_left_out() -> None:
    """What perf prints innermost first becomes a path from the process down; a cost is where the samples were."""
    text = (
        "python 12 \n\tffff inner\n\tffff outer\n\nswapper 0 \n\tffff idle\n\npython 12 \n\tffff inner\n\tffff outer\n"
    )
    stacks = profile.folded(text, {"12": "ingest"})
    assert stacks == {("ingest", "outer", "inner"): 2}
    assert profile.costs(stacks) == [{"share": 1.0, "process": "ingest", "function": "inner"}]
    assert "outer (100.0%)" in profile.picture(stacks)
