"""Names as people write them: resource names whole or short where the collection is clear, enums as words."""

from typing import Any

import typer


def district_name(text: str) -> str:
    """Return ``districts/noord`` for it or for ``noord``."""
    return text if text.startswith("districts/") else f"districts/{text}"


def name_in_district(text: str, collection: str) -> str:
    """Return ``districts/noord/devices/lamp-1`` for it or for ``noord/lamp-1``."""
    if text.startswith("districts/"):
        return text
    district, slash, rest = text.partition("/")
    if not slash or "/" in rest:
        message = f"a name is DISTRICT/ID or districts/DISTRICT/{collection}/ID; got {text}"
        raise typer.BadParameter(message)
    return f"districts/{district}/{collection}/{rest}"


def name_of(text: str, collection: str) -> str:
    """Return ``policies/dim`` for it or for ``dim``."""
    return text if text.startswith(f"{collection}/") else f"{collection}/{text}"


def enum_value(enum: Any, prefix: str, word: str | None) -> Any:
    """Return the value of an enum that a word names, the unspecified one for none."""
    return enum.Value(f"{prefix}_{word.upper()}") if word else 0
