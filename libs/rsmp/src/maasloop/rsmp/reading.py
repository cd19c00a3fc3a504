"""Checked access to the elements of a JSON object: what is asked for is there and of the right kind, or the reason why not."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum

from .errors import MessageInvalid
from .messages import Rows

ITEMS_MAX = 1000
"""Most items of one array: statuses of a message, arguments of a command, rows of a value."""
ROW_ELEMENTS_MAX = 32
"""Most elements of one row of a value."""

_MESSAGE_ID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_KINDS = {
    str: "text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


class Reader:
    """One JSON object."""

    def __init__(self, elements: Mapping[str, object], place: str = "") -> None:
        """Read from ``elements``; ``place`` is what the names in reasons begin with."""
        self._elements = elements
        self._place = place

    def has(self, name: str) -> bool:
        """Tell whether an element is there."""
        return name in self._elements

    def raw(self, name: str) -> object:
        """Return an element of any kind."""
        if name not in self._elements:
            message = f"{self._place}{name} is missing"
            raise MessageInvalid(message)
        return self._elements[name]

    def text(self, name: str) -> str:
        """Return a text."""
        found = self.raw(name)
        if not isinstance(found, str):
            raise self.wrong(name, "text", found)
        return found

    def text_or(self, name: str, default: str) -> str:
        """Return a text that may be missing or null."""
        return default if self._elements.get(name) is None else self.text(name)

    def text_or_null(self, name: str) -> str | None:
        """Return a text that must be there and may be null."""
        return None if self.raw(name) is None else self.text(name)

    def matching(self, name: str, pattern: re.Pattern[str], expected: str) -> str:
        """Return a text of a certain form."""
        found = self.text(name)
        if pattern.fullmatch(found) is None:
            raise self.wrong(name, expected, found)
        return found

    def message_id(self, name: str) -> str:
        """Return the id of a message, a UUID of version 4."""
        return self.matching(name, _MESSAGE_ID, "a UUID of version 4")

    def time(self, name: str) -> datetime:
        """Return a time."""
        found = self.matching(name, _TIME, "a time like 2015-06-08T12:01:39.654Z")
        try:
            return datetime.fromisoformat(found)
        except ValueError:
            raise self.wrong(name, "a time of the calendar", found) from None

    def word[T: StrEnum](self, name: str, words: type[T], *, exact: bool) -> T:
        """Return one of the words of an enumeration; unless ``exact``, in any capitals."""
        found = self.text(name)
        for word in words:
            if found == word.value or (not exact and found.casefold() == word.value.casefold()):
                return word
        raise self.wrong(name, f"one of {', '.join(words)}", found)

    def choice(self, name: str, words: Mapping[str, bool], *, exact: bool) -> bool:
        """Return what one of two words means."""
        found = self.text(name)
        for word, meaning in words.items():
            if found == word or (not exact and found.casefold() == word.casefold()):
                return meaning
        raise self.wrong(name, f"one of {', '.join(words)}", found)

    def objects(self, name: str, *, items_min: int = 1) -> Iterator["Reader"]:
        """Yield the objects of an array."""
        for index, each in enumerate(self.array(name, items_min=items_min)):
            if not isinstance(each, dict):
                raise self.wrong(f"{name}[{index}]", "an object", each)
            yield Reader(each, f"{self._place}{name}[{index}].")

    def array(self, name: str, *, items_min: int = 0) -> list[object]:
        """Return an array of a bounded length."""
        found = self.raw(name)
        if not isinstance(found, list):
            raise self.wrong(name, "an array", found)
        if not items_min <= len(found) <= ITEMS_MAX:
            message = f"{self._place}{name} has {len(found)} items, {items_min} to {ITEMS_MAX} are accepted"
            raise MessageInvalid(message)
        return found

    def rows(self, name: str) -> Rows:
        """Return an array of objects that hold texts only."""
        return tuple(row.texts() for row in self.objects(name, items_min=0))

    def texts(self) -> Mapping[str, str]:
        """Return all elements, which are texts."""
        if len(self._elements) > ROW_ELEMENTS_MAX:
            message = f"{self._place}* are {len(self._elements)} elements, at most {ROW_ELEMENTS_MAX} are accepted"
            raise MessageInvalid(message)
        return {name: self.text(name) for name in self._elements}

    def wrong(self, name: str, expected: str, found: object) -> MessageInvalid:
        """Return the error that an element is not what it should be; it shows the start of a text, never all of it."""
        shown = repr(found[:40]) if isinstance(found, str) else _KINDS.get(type(found), "something else")
        return MessageInvalid(f"{self._place}{name}: {expected} is expected, got {shown}")
