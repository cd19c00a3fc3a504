"""Texts of alerts: places, languages, and what devices may not do to them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maasloop.core.errors import InvalidArgument
from maasloop.notification.domain.text import rendered, require_template, written, written_time


@pytest.mark.parametrize(
    ("shown", "dutch", "english"),
    [
        (80.5, "80,5", "80.5"),
        (1234.0, "1234", "1234"),
        (-0.0, "0", "0"),
        (0.12345, "0,123", "0.123"),
        (-0.0001, "-0,0001", "-0.0001"),
        (2e20, "2e+20", "2e+20"),
        ("GGrr", "GGrr", "GGrr"),
    ],
)
def test_values_are_written_by_language(shown: float | str, dutch: str, english: str) -> None:
    """Dutch has a decimal comma, English a point; no more than three decimals."""
    assert written(shown, "nl") == dutch
    assert written(shown, "en") == english


def test_times_are_written_in_words() -> None:
    """The month stands in the language, the time in UTC."""
    moment = datetime(2026, 3, 9, 7, 5, 1, tzinfo=UTC)
    assert written_time(moment, "nl") == "9 maart 2026 07:05:01 UTC"
    assert written_time(moment, "en") == "9 March 2026 07:05:01 UTC"


@pytest.mark.parametrize(
    "template", ["", " ", "{who}", "{device.__class__}", "{value:>9999}", "{value!r}", "{", "{0}", "{}"]
)
def test_other_places_are_refused(template: str) -> None:
    """A template has no places but the three, and no way into Python."""
    with pytest.raises(InvalidArgument) as refused:
        require_template(template, "title", 200)
    assert refused.value.reason == "REQUEST_INVALID"


@given(st.text(max_size=300))
def test_a_word_of_a_device_stays_on_its_line(word: str) -> None:
    """Whatever a device calls its state, a rendered text holds no control characters and has a limit."""
    text = rendered(
        {"en": "{device}: {value}"}, device="d", shown=word, time=datetime(2026, 1, 1, tzinfo=UTC), length_max=50
    )["en"]
    assert len(text) <= 50
    assert text.isprintable()
