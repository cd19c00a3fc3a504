"""Loop latency: from a reading that must make a lamp brighter to the command that does."""

from maasloop.twin.play.tally import LoopTimer, Tally


def test_only_a_command_that_makes_brighter_ends_a_loop() -> None:
    """A command with another cause, or to a lamp of which nothing is awaited, is no sample; a loop counts once."""
    tally = Tally()
    timer = LoopTimer(tally)
    timer.end("lamp-1", 0.5, level_percent=80.0)
    timer.begin("lamp-1", 1.0, above_percent=30.0)
    timer.begin("lamp-1", 1.5, above_percent=30.0)
    timer.end("lamp-1", 1.25, level_percent=30.0)
    timer.end("lamp-2", 1.5, level_percent=80.0)
    timer.end("lamp-1", 2.0, level_percent=80.0)
    timer.end("lamp-1", 3.0, level_percent=80.0)

    assert list(tally.latencies_ms) == [1_000.0]
