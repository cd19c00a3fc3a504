"""``maasloop subjects``: what can be heard on the bus."""

from maasloop.cli.printing import Column, Json, show_rows

COLUMNS = (
    Column("subject", "subject"),
    Column("key", "key"),
    Column("message", "message"),
    Column("published by", "publisher"),
    Column("meaning", "meaning"),
)


def subjects(as_json: Json = False) -> None:
    """List every subject of the bus, what it carries and who publishes it."""
    from maasloop.bus.subjects import FACTS

    rows = [
        {
            "subject": fact.wildcard(),
            "key": fact.key,
            "message": fact.message,
            "publisher": fact.publisher,
            "meaning": fact.meaning,
        }
        for fact in FACTS
    ]
    show_rows(rows, COLUMNS, as_json=as_json)
