"""The report and the picture of the benches."""

from collections import Counter

import pytest
from tests.load import profile, report, wire_grpc


def test_figures_stand_between_their_marks_however_often_they_are_written() -> None:
    """Writing twice gives the last figures once, and text around the marks stays."""
    text = "# R\n<!-- soak -->\nold\n<!-- /soak -->\nend\n"
    once = report.filled(text, {"soak": "new\n"})
    assert once == "# R\n<!-- soak -->\nnew\n<!-- /soak -->\nend\n"
    assert report.filled(once, {"soak": "new\n"}) == once
    with pytest.raises(ValueError, match="0 places"):
        report.filled(text, {"scale": ""})


def test_the_readme_tells_the_figures_of_the_last_run() -> None:
    """Rates are rounded to thousands, shares are those of COPY in the same run; every row is there."""
    a_run = {"median": 417_400, "min": 1, "max": 2}
    batches = ("grpc_batch_1000", "grpc_batch_5000", "grpc_call_1000", "grpc_call_5000", "nats_batch_1000")
    doors = (*batches, "senml", "http_json")
    told = {
        **{f"{door}_rows_per_s": a_run for door in doors},
        "copy_rows_per_s": 691_376,
        "ratio_1000": 0.603,
        "ratio_5000": 0.789,
        "ratio_call_1000": 0.55,
        "ratio_call_5000": 0.75,
        "mqtt_ratio": {"median": 0.748, "min": 0.668, "max": 0.823},
        "loop_latency_p50_ms_at_10000": 5.6,
        "loop_latency_p99_ms_at_10000": 15.63,
    }
    rows = report.measured(told).splitlines()
    assert len(rows) == 2 + len(doors) + 3
    assert "| 417,000 rows/s (0.60 of COPY) |" in rows[3]
    assert rows[-2].endswith("| 0.75 (0.67 to 0.82) |")
    assert rows[-1].endswith("| 6 and 16 ms |")


def test_stacks_are_counted_outermost_frame_first_and_idle_time_is_left_out() -> None:
    """What perf prints innermost first becomes a path from the process down; a cost is where the samples were."""
    text = (
        "python 12 \n\tffff inner\n\tffff outer\n\nswapper 0 \n\tffff idle\n\npython 12 \n\tffff inner\n\tffff outer\n"
    )
    stacks = profile.folded(text, {"12": "ingest"})
    assert stacks == {("ingest", "outer", "inner"): 2}
    assert profile.costs(stacks) == [{"share": 1.0, "process": "ingest", "function": "inner"}]
    assert "outer (100.0%)" in profile.picture(stacks)


def test_python_shares_out_what_its_process_had() -> None:
    """The stacks of py-spy have together the weight that perf saw; other processes keep theirs."""
    stacks = profile.shared_out(
        Counter({("ingest", "x"): 6, ("nats", "y"): 4}),
        "ingest",
        profile.spied("f (a.py:1);g (b.py:2) 3\nf (a.py:1) 1\n"),
    )
    assert stacks == {("nats", "y"): 4, ("ingest", "f (a.py:1)", "g (b.py:2)"): 4.5, ("ingest", "f (a.py:1)"): 1.5}
    assert [cost["function"] for cost in profile.costs(stacks)] == ["g (b.py:2)", "y", "f (a.py:1)"]


def test_the_status_of_a_call_is_read_from_its_trailers() -> None:
    """A server that keeps no table writes the name and the number as they are."""
    assert wire_grpc.status_of(b"\x20\x00\x0bgrpc-status\x018\x00\x0cgrpc-message\x04full") == "8"
    assert wire_grpc.status_of(b"\x88") == ""
