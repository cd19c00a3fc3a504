"""Identifiers are one token everywhere, and foreign ones are mapped once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maasloop.core.errors import InvalidArgument
from maasloop.core.ids import CommandName, DeviceName, DistrictName, parse_name, to_id, valid_id


@given(st.text(min_size=1, max_size=200))
def test_every_foreign_id_becomes_an_id(foreign: str) -> None:
    """Whatever another system calls a thing, its id fits the grammar and is the same each time."""
    found = to_id(foreign)

    assert valid_id(found)
    assert found == to_id(foreign)


def test_foreign_ids_that_look_alike_stay_apart() -> None:
    """Two foreign ids that differ only in what an id cannot hold get different ids."""
    assert to_id("Lane#1_0") != to_id("lane#1-0")


@pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a.b", "a b", "a" * 64, "é", "a/b", "*"])
def test_what_is_no_id_is_refused(text: str) -> None:
    """Separators, wild cards, capitals and overlong texts are no ids."""
    assert not valid_id(text)


@pytest.mark.parametrize("name", [DistrictName("noord"), DeviceName("noord", "lamp-1"), CommandName("noord", "0192f7")])
def test_a_name_survives_its_text(name: DistrictName | DeviceName | CommandName) -> None:
    """Parsing the text of a resource name gives the name back."""
    assert name == type(name).parse(str(name))


def test_a_foreign_name_says_which_form_is_needed() -> None:
    """The refusal of a resource name carries the pattern."""
    with pytest.raises(InvalidArgument, match=r"policies/\{id\}") as refusal:
        parse_name("policies/A", "policies")

    assert refusal.value.reason == "NAME_MALFORMED"
