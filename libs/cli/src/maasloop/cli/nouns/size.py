"""``maasloop size``: pods, cores, memory and disk of a city, from what was measured."""

from dataclasses import asdict
from typing import Annotated

import typer

from maasloop.cli.printing import Column, Json, print_json, say, show_rows
from maasloop.stack.capacity import UTILISATION, City, Costs
from maasloop.stack.capacity import size as needed

COLUMNS = (
    Column("process", "name"),
    Column("pods", "pods"),
    Column("busy cores", "cores"),
    Column("memory a pod, MiB", "memory_mib"),
)


def size(
    *,
    readings_per_second: Annotated[float, typer.Option(min=0, help="Of all sensors, lamps and detectors together.")],
    lamps: Annotated[int, typer.Option(min=0, help="Streetlights that are commanded.")] = 0,
    junctions: Annotated[int, typer.Option(min=0, help="Junctions that are decided upon each second.")] = 0,
    door: Annotated[
        str,
        typer.Option(
            help="How readings come: batches (gRPC, 1,000 a message), http (100 a request), mqtt (1 a message)."
        ),
    ] = "batches",
    commands_per_lamp_hour: Annotated[float, typer.Option(min=0, help="Changes of level of one lamp.")] = 4.0,
    as_json: Json = False,
) -> None:
    """Print what a city needs; exit status 1 where it outgrows one NATS, one PostgreSQL or one actuation."""
    costs = Costs.read()
    try:
        found = needed(City(readings_per_second, lamps, junctions, door, commands_per_lamp_hour), costs)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except OverflowError:
        raise typer.BadParameter("no city is as large as that") from None
    if as_json:
        totals = {"pods": found.pods, "cores": round(found.cores, 3), "memory_mib": found.memory_mib}
        print_json({**asdict(found), **totals, "measured": dict(costs.measured)})
    else:
        show_rows([asdict(part) for part in found.parts], COLUMNS, as_json=False)
        say(f"together       {found.pods} pods, {found.cores:.2f} busy cores, {found.memory_mib:,} MiB of limits")
        say(
            f"rows           {found.rows_gib_a_day:,.2f} GiB a day, write-ahead log {found.wal_gib_a_day:,.2f} GiB a day"
        )
        say(f"OBSERVATIONS   {found.stream_gib:,.2f} GiB hold a day: streams.scale {found.streams_scale}")
        say(
            f"measured       {costs.measured['time']} on {costs.measured['cores']} cores of {costs.measured['processor']}"
        )
        most = costs.reading_rows_per_s[door]
        say(f"most measured  {most:,.0f} readings/s by {door} with everything on that machine")
        say(f"planned for    {UTILISATION:.0%} of a core a pod")
        for limit in found.limits:
            say(f"outgrown       {limit}")
    if found.limits:
        raise typer.Exit(1)
