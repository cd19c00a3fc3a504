"""Texts of requests: one that holds a control character is refused, wherever it would be kept.

U+0000 no text column of a database takes, and what else Unicode counts as control (Cc) hides in lists and logs what a text
says. Tabs and line ends stay. Readings are left to ingest, which refuses them one by one.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from maasloop.core.errors import InvalidArgument
from maasloop.core.reasons import Reason

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_READINGS = "maasloop.api.observation.v1.ObservationColumns"


def require_texts(message: Message) -> None:
    """Refuse a message of which a text, at any depth, holds a control character; the field is named."""
    for field, text in _texts(message, ""):
        if _CONTROL.search(text):
            raise InvalidArgument(Reason.TEXT_INVALID, f"{field} holds a control character", {"field": field})


def _texts(message: Message, path: str) -> Iterator[tuple[str, str]]:
    for field in _leading_to_texts(message.DESCRIPTOR):
        name = f"{path}{field.name}"
        if field.is_repeated:
            for value in _values(getattr(message, field.name)):
                yield from _of_value(value, f"{name}[]")
        elif field.message_type is None or message.HasField(field.name):
            yield from _of_value(getattr(message, field.name), name)


def _of_value(value: str | Message, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    else:
        yield from _texts(value, f"{name}.")


def _values(container: Iterable[str | Message] | Mapping[object, object]) -> Iterator[str | Message]:
    """Return what a repeated field holds that may be or hold a text: of a map, keys and values."""
    if not isinstance(container, Mapping):
        yield from container
        return
    for each in (*container.keys(), *container.values()):
        if isinstance(each, str | Message):
            yield each


@cache
def _leading_to_texts(descriptor: Descriptor) -> Sequence[FieldDescriptor]:
    """Return the fields of a message that are texts or hold some, so that columns of numbers are never looked at."""
    return [field for field in descriptor.fields if _leads_to_text(field, frozenset())]


def _leads_to_text(field: FieldDescriptor, above: frozenset[str]) -> bool:
    inner = field.message_type
    if inner is None:
        return field.type == FieldDescriptor.TYPE_STRING
    if inner.full_name in above or inner.full_name == _READINGS:
        return False
    return any(_leads_to_text(each, above | {inner.full_name}) for each in inner.fields)
