"""Pages: sizes are coerced, tokens return what was put in and nothing else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maasloop.core.errors import InvalidArgument
from maasloop.rpc.pages import decode_page_token, encode_page_token, page_size

PARTS = st.lists(st.one_of(st.text(max_size=20), st.integers(), st.floats(allow_nan=False)), max_size=4)
ARGUMENTS = {"parent": "districts/noord", "filter": ""}


@given(PARTS)
def test_a_token_returns_its_position(position: list[str | float]) -> None:
    """Whatever position is encoded comes back equal."""
    assert decode_page_token(encode_page_token(position, ARGUMENTS), ARGUMENTS) == tuple(position)


def test_no_token_is_the_first_page() -> None:
    """An empty token has no position."""
    assert decode_page_token("", ARGUMENTS) is None


def test_a_token_of_other_arguments_is_refused() -> None:
    """A token cannot be used with another parent or filter."""
    token = encode_page_token(["a"], ARGUMENTS)

    with pytest.raises(InvalidArgument) as caught:
        decode_page_token(token, {**ARGUMENTS, "parent": "districts/zuid"})
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


@given(st.text(min_size=1, max_size=60))
def test_foreign_text_is_refused(text: str) -> None:
    """No text of somebody else is taken for a token, and none breaks the parser."""
    with pytest.raises(InvalidArgument):
        decode_page_token(text, ARGUMENTS)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_token_is_refused(place: int, change: int) -> None:
    """Changing any byte of a token is noticed."""
    token = encode_page_token(["abc", 7], ARGUMENTS)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[place % len(raw)] ^= change

    with pytest.raises(InvalidArgument):
        decode_page_token(base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("="), ARGUMENTS)


@pytest.mark.parametrize(("requested", "given_size"), [(0, 100), (1, 1), (1_000, 1_000), (5_000, 1_000)])
def test_sizes_are_coerced(requested: int, given_size: int) -> None:
    """0 is the default and too much is the largest."""
    assert page_size(requested) == given_size


def test_a_negative_size_is_refused() -> None:
    """Less than nothing is a mistake of the caller."""
    with pytest.raises(InvalidArgument):
        page_size(-1)
