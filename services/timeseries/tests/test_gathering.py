"""When what was gathered is enough for a lot, with what waits behind it and how many lots are made at once."""

from maasloop.bus.columns import READINGS_HEADER
from maasloop.timeseries.entrypoints.gathering import (
    GROWING_S,
    READINGS_A_LOT,
    READINGS_A_SECOND_LOT,
    Gathered,
    Growth,
)
from maasloop.timeseries.entrypoints.storing import Taken

READINGS = 5_000


def _lots(messages: int, lots: int, *, growing: bool = False) -> list[int]:
    """Return the sizes of the lots of so many messages that all wait."""
    sizes, gathered = [], Gathered()
    for sequence in range(1, messages + 1):
        gathered.add(Taken(sequence, "", {READINGS_HEADER: str(READINGS)}, b"", None))
        if gathered.enough(messages - sequence, lots, growing=growing):
            sizes.append(gathered.readings)
            gathered = Gathered()
    return sizes + [gathered.readings] * bool(gathered.taken)


def test_a_backlog_is_shared_out_among_lots() -> None:
    """Lots are full while much waits, halve what is left at its end, and none is less than is worth one but the last."""
    sizes = _lots(400, lots=2)
    assert sum(sizes) == 400 * READINGS
    assert sizes[:7] == [READINGS_A_LOT] * 7
    assert sizes[7:] == [125_000, 100_000, 25_000]
    assert min(sizes[:-1]) >= READINGS_A_SECOND_LOT


def test_lots_one_after_another_take_all_that_waits() -> None:
    """With one lot at a time nothing is gained by halves."""
    assert _lots(40, lots=1) == [200_000]
    assert _lots(60, lots=1) == [READINGS_A_LOT, 50_000]


def test_lots_of_a_stream_that_grows_are_full() -> None:
    """While more and more waits nothing is shared out: small lots would cost more a reading."""
    assert _lots(60, lots=2, growing=True) == [READINGS_A_LOT, 50_000]
    assert _lots(60, lots=2) == [150_000, 100_000, 50_000]


def test_a_stream_grows_while_its_end_moves() -> None:
    """A step without news, or with news of older messages, does not end it; time without any does."""
    growth = Growth()
    assert not growth.see(0, 10.0)
    assert growth.see(7, 10.0)
    assert growth.see(0, 10.0 + GROWING_S / 2)
    assert growth.see(8, 10.0 + GROWING_S / 2)
    assert growth.see(6, 10.0 + GROWING_S)
    assert not growth.see(8, 10.0 + 2 * GROWING_S)


def test_messages_of_nothing_are_no_lot() -> None:
    """Totals of producers alone never fill a lot, however many wait."""
    gathered = Gathered()
    gathered.add(Taken(1, "", {READINGS_HEADER: "0"}, b"", None))
    assert not gathered.enough(0, 2, growing=False)
    assert not gathered.enough(1_000, 2, growing=False)
