"""``maasloop export``: a range of observations as a file, in constant memory."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import typer

from maasloop.cli.calling import SERIES, opened, running
from maasloop.cli.exports import WRITERS, Writer
from maasloop.cli.moments import moment
from maasloop.cli.names import district_name
from maasloop.core.clock import Clock, SystemClock

SPAN_MAX = timedelta(days=366)
"""Longest range of one call: longer ones are asked for one after the other."""
PROGRESS_EVERY_S = 2.0

type Format = Literal["csv", "arrow", "parquet"]


def export(
    context: typer.Context,
    district: Annotated[str, typer.Argument(help="District.")],
    *,
    output: Annotated[str, typer.Option("--output", "-o", help="File to write; - is standard output.")] = "-",
    form: Annotated[
        Format | None, typer.Option("--format", help="What to write; by the file's name, else csv.")
    ] = None,
    device: Annotated[list[str] | None, typer.Option("--device", help="Only this device; may be repeated.")] = None,
    observed_property: Annotated[
        list[str] | None, typer.Option("--property", help="Only this observed property; may be repeated.")
    ] = None,
    start: Annotated[str, typer.Option("--from", help="First moment: -1h, now, or RFC 3339.")] = "-1d",
    end: Annotated[str, typer.Option("--to", help="First moment left out.")] = "now",
) -> None:
    """Write the observations of a range to a file, ordered by series and time, as CSV, Arrow or Parquet.

    The file appears when it is whole; until then what is written lies beside it. How far it is goes to standard error.
    """
    from maasloop.api.observation.v1 import series_service_pb2 as pb

    selection = pb.SeriesSelection(
        parent=district_name(district), devices=device or [], observed_properties=observed_property or []
    )
    with _target(output) as file:
        writer = WRITERS[form or _form(output)](file)
        progress = _Progress(SystemClock())
        try:
            running(_copied(context, selection, moment(start), moment(end), writer, progress))
        except BaseException:
            # A writer that is dropped unclosed writes its end into a file that is closed by then.
            if output != "-":
                with suppress(Exception):
                    writer.close()
            raise
        writer.close()
        progress.told()


async def _copied(
    context: typer.Context, selection: Any, start: datetime, end: datetime, writer: Writer, progress: "_Progress"
) -> None:
    from maasloop.api.observation.v1 import series_service_pb2 as pb
    from maasloop.bus.columns import parse_columns
    from maasloop.rpc import client
    from maasloop.rpc.times import timestamp_from

    async with opened(context, SERIES) as stub:
        # One call at least, so that the service judges the range.
        while start < end or not progress.asked:
            upto = min(end, start + SPAN_MAX)
            request = pb.ReadObservationsRequest(
                selection=selection, start_time=timestamp_from(start), end_time=timestamp_from(upto)
            )
            progress.asked = True
            async for answer in client.stream(stub.ReadObservations, request):
                columns = parse_columns(answer.observations.SerializeToString())
                writer.write(columns)
                progress.add(len(columns))
            start = upto


class _Progress:
    """How many observations were written, told every few seconds on a terminal and once at the end."""

    def __init__(self, clock: Clock) -> None:
        self.asked = False
        self._clock = clock
        self._count = 0
        self._began_s = self._told_s = clock.monotonic_s()

    def add(self, count: int) -> None:
        """Count observations."""
        self._count += count
        if sys.stderr.isatty() and self._clock.monotonic_s() - self._told_s > PROGRESS_EVERY_S:
            self.told()

    def told(self) -> None:
        """Say how many there are."""
        self._told_s = self._clock.monotonic_s()
        took_s = self._told_s - self._began_s
        sys.stderr.write(f"{self._count} observations in {took_s:.1f} s\n")


def _form(output: str) -> Format:
    endings: dict[str, Format] = {".arrow": "arrow", ".arrows": "arrow", ".parquet": "parquet"}
    return endings.get(Path(output).suffix, "csv")


@contextmanager
def _target(output: str) -> Iterator[IO[bytes]]:
    """Give a file to write to, which takes its name when all went well."""
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    draft = Path(f"{output}.partial")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(output)
    finally:
        draft.unlink(missing_ok=True)
