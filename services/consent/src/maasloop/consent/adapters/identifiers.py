"""Ids of records and receipts."""

from uuid import uuid4


class RandomIdentifiers:
    """Random UUIDs: they say nothing about a person."""

    def new(self) -> str:
        """Return an id that was never given."""
        return str(uuid4())
