"""Setpoints of controllers as plain JSON data, the protobuf JSON of the contract, and back."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from .setpoints import KINDS, NAMES, ControllerOrder


def to_plain(order: ControllerOrder) -> dict[str, Any]:
    """Return the JSON data of an order, under the name of its field."""
    return {NAMES[type(order)]: _plain(order)}


def read_plain(data: Mapping[str, Any]) -> ControllerOrder:
    """Read what ``to_plain`` made; ``ValueError`` for a word that is none, ``KeyError`` for another kind of setpoint."""
    name = next(iter(data))
    found = _read(KINDS[name], data[name])
    if not isinstance(found, ControllerOrder):
        raise TypeError(name)
    return found


def _plain(value: object) -> object:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if is_dataclass(value):
        named = ((_camel(each.name), getattr(value, each.name)) for each in fields(value))
        return {name: _plain(each) for name, each in named if each is not None}
    return value


def _read(kind: Any, data: Any) -> object:  # noqa: ANN401 - a type, or a union with None, and JSON data
    if isinstance(kind, UnionType):
        return _read(next(each for each in get_args(kind) if each is not NoneType), data)
    if get_origin(kind) is tuple:
        return tuple(_read(get_args(kind)[0], each) for each in data)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        named = {each.name: _camel(each.name) for each in fields(kind)}
        return kind(**{own: _read(hints[own], data[name]) for own, name in named.items() if name in data})
    return kind(data)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
