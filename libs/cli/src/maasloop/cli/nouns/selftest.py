"""``maasloop selftest``: an observation there and back, a lamp command that is verified, a consent withdrawn."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer

from maasloop.cli.calling import Door, opened, running
from maasloop.cli.printing import Column, Json, show_rows

COLUMNS = (Column("what", "step"), Column("seconds", "seconds"))


def selftest(
    context: typer.Context,
    *,
    wait: Annotated[float, typer.Option(min=1.0, help="Longest wait for each answer of the city, in seconds.")] = 60.0,
    load: Annotated[float, typer.Option(min=0.0, help="Seconds of readings and commands before it.")] = 0.0,
    readings: Annotated[int, typer.Option(min=1, max=5_000, help="How many of them a second.")] = 200,
    as_json: Json = False,
) -> None:
    """Try the whole loop in a district of its own, which stays behind; a failure is a sentence."""
    show_rows(running(_tried(context, wait, load, readings)), COLUMNS, as_json=as_json)


async def _tried(context: typer.Context, wait_s: float, load_s: float, readings: int) -> list[dict[str, Any]]:
    from secrets import token_hex

    from maasloop.cli.selftest.city import LAMP, City
    from maasloop.cli.selftest.lamp import Lamp
    from maasloop.cli.selftest.steps import Selftest
    from maasloop.core.clock import SystemClock
    from maasloop.identity.command_keys import KeySetFile

    @asynccontextmanager
    async def open_door(door: Door) -> AsyncIterator[Any]:
        async with opened(context, door) as stub:
            yield stub

    clock = SystemClock()
    city = City(open_door, f"selftest-{token_hex(4)}")
    lamp = Lamp(city.district, LAMP, KeySetFile(context.obj.command_keys()), clock)
    tried = Selftest(city, lamp, context.obj.mqtt_listener(), clock, wait_s)
    steps = await tried.run(load_s=load_s, readings_per_s=readings)
    return [asdict(step) for step in steps]
