"""``maasloop import-observations``: history from a CSV file, line by line, resumed where it was interrupted.

What was done stands in ``FILE.progress`` and is written after each answer; what was refused, in ``FILE.refused``. While
ingest does not answer or has no room, the import waits and goes on where the last answer left it.
"""

import asyncio
import hashlib
import json
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from maasloop.cli.calling import INGEST, opened, running
from maasloop.cli.names import district_name
from maasloop.cli.printing import Json, print_json, say
from maasloop.core.errors import FailedPrecondition, InvalidArgument, Retryable

CHUNK_BYTES_MAX = 192 * 1024
CHUNK_LINES_MAX = 2_000
LINE_BYTES_MAX = 64 * 1024
AHEAD_MAX = 3
"""Chunks that are sent before the first of them is answered."""
PAUSE_MIN_S = 0.5
PAUSE_MAX_S = 10.0
CALL_TIMEOUT_S = 3_600.0
"""A call is ended and begun again after this long."""
REFUSED_SHOWN_MAX = 20
SHOWN_EACH_S = 1.0


@dataclass(slots=True)
class Progress:
    """How far an import is."""

    district: str
    size: int
    header: str
    """Digest of the first line: another file is another import."""
    offset: int = 0
    line: int = 1
    """Number of the line at ``offset``, from 1."""
    accepted: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines of the file."""

    offset: int
    line: int
    content: bytes
    next_line: int


def import_observations(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV with time,device,property,value.")],
    district: Annotated[str, typer.Option(help="District of all devices in the file.")],
    restart: Annotated[bool, typer.Option(help="Begin at the first line, whatever was done.")] = False,
    as_json: Json = False,
) -> None:
    """Import history: readings of years back; exit status 1 when lines were refused."""
    running(_Import(context, file, district, restart=restart, quiet=as_json).run(as_json=as_json))


class _Import:
    """One import, until it is done."""

    def __init__(self, context: typer.Context, file: Path, district: str, *, restart: bool, quiet: bool) -> None:
        self._context = context
        self._file = file
        self._parent = district_name(district)
        self._quiet = quiet
        self._mark = file.with_name(f"{file.name}.progress")
        self._refusals = file.with_name(f"{file.name}.refused")
        self._shown = 0
        self._told_s = 0.0
        with file.open("rb") as source:
            self._header = source.readline(LINE_BYTES_MAX)
        fresh = Progress(self._parent, file.stat().st_size, hashlib.sha256(self._header).hexdigest()[:16])
        self.progress = fresh if restart else self._found(fresh)
        if self.progress.offset == 0:
            self._refusals.unlink(missing_ok=True)

    def _found(self, fresh: Progress) -> Progress:
        """Return where an earlier run ended; a file that grew since goes on."""
        if not self._mark.exists():
            return fresh
        try:
            found = Progress(**json.loads(self._mark.read_text()))
        except (ValueError, TypeError):
            message = f"{self._mark} cannot be read; give --restart to begin at the first line"
            raise FailedPrecondition("STATE_FORBIDS", message, {"state": "progress"}) from None
        same = (found.district, found.header) == (fresh.district, fresh.header)
        if not same or found.offset > fresh.size:
            message = f"{self._mark} is about another file or district; give --restart to begin at the first line"
            raise FailedPrecondition("STATE_FORBIDS", message, {"state": "progress"})
        found.size = fresh.size
        return found

    async def run(self, *, as_json: bool) -> None:
        """Import, and wait while nobody answers."""
        if self.progress.offset:
            self._say(f"going on at line {self.progress.line} of {self._file}")
        pause_s = PAUSE_MIN_S
        while self.progress.offset < self.progress.size:
            before = self.progress.offset
            try:
                await self._send()
            except Retryable as error:
                pause_s = PAUSE_MIN_S if self.progress.offset > before else min(pause_s * 2, PAUSE_MAX_S)
                self._say(f"{error.reason}: {error.message}; again in {pause_s:g} s, at line {self.progress.line}")
                await asyncio.sleep(pause_s)
        self._mark.unlink(missing_ok=True)
        result = {"accepted": self.progress.accepted, "refused": self.progress.refused}
        if as_json:
            print_json(result)
        else:
            more = f"; {self.progress.refused} lines refused, see {self._refusals}" if self.progress.refused else ""
            say(f"{self.progress.accepted} readings imported{more}")
        if self.progress.refused:
            raise typer.Exit(1)

    async def _send(self) -> None:
        """Send chunks over one call until the file ends or the call does."""
        from maasloop.api.observation.v1 import ingest_service_pb2 as pb
        from maasloop.rpc.statuses import translated

        on_their_way: deque[Chunk] = deque()
        room = asyncio.Semaphore(AHEAD_MAX)

        async def requests() -> AsyncIterator[pb.ImportObservationsRequest]:
            header = self._header.decode("utf-8", "replace").rstrip("\r\n") if self.progress.offset else ""
            for chunk in self._chunks():
                await room.acquire()
                on_their_way.append(chunk)
                yield pb.ImportObservationsRequest(
                    parent=self._parent, offset=chunk.offset, content=chunk.content, line=chunk.line, header=header
                )
                header = ""

        async with opened(self._context, INGEST) as stub:
            with translated():
                async for answer in stub.ImportObservations(requests(), timeout=CALL_TIMEOUT_S):
                    self._take(on_their_way.popleft(), answer)
                    room.release()

    def _chunks(self) -> Iterator[Chunk]:
        """Read whole lines from where the progress is."""
        with self._file.open("rb") as source:
            source.seek(self.progress.offset)
            offset, line = self.progress.offset, self.progress.line
            while lines := _some_lines(source, line):
                content = b"".join(lines)
                yield Chunk(offset, line, content, line + len(lines))
                offset, line = offset + len(content), line + len(lines)

    def _take(self, chunk: Chunk, answer: Any) -> None:
        """Write down what became of a chunk: first what was refused, then that it is done."""
        lines = [f"{refusal.line}\t{refusal.reason}\t{refusal.detail}\n" for refusal in answer.refusals]
        if unlisted := answer.refused_count - len(answer.refusals):
            lines.append(f"{chunk.line}-{chunk.next_line - 1}\tanother {unlisted} lines\n")
        if lines:
            with self._refusals.open("a") as listed:
                listed.writelines(lines)
        for refusal in answer.refusals:
            self._shown += 1
            if self._shown <= REFUSED_SHOWN_MAX:
                self._say(f"line {refusal.line}: {refusal.reason}: {refusal.detail}")
        progress = self.progress
        progress.offset, progress.line = answer.next_offset, chunk.next_line
        progress.accepted += answer.accepted_count
        progress.refused += answer.refused_count
        fresh = self._mark.with_name(f"{self._mark.name}.new")
        with fresh.open("w") as written:
            json.dump(asdict(progress), written)
            written.flush()
            os.fsync(written.fileno())
        fresh.replace(self._mark)
        self._tell()

    def _tell(self) -> None:
        now_s = time.monotonic()
        done = self.progress
        if now_s - self._told_s >= SHOWN_EACH_S:
            self._told_s = now_s
            self._say(
                f"{done.offset / done.size:6.1%}  line {done.line}  {done.accepted} imported, {done.refused} refused"
            )

    def _say(self, text: str) -> None:
        if not self._quiet:
            typer.echo(text, err=True)


def _some_lines(source: IO[bytes], line: int) -> list[bytes]:
    """Read lines until a chunk is full."""
    lines: list[bytes] = []
    size = 0
    while size < CHUNK_BYTES_MAX and len(lines) < CHUNK_LINES_MAX:
        read = source.readline(LINE_BYTES_MAX + 1)
        if not read:
            break
        if len(read) > LINE_BYTES_MAX:
            message = f"line {line + len(lines)} has more than {LINE_BYTES_MAX} bytes: this is no file of readings"
            raise InvalidArgument("PAYLOAD_TOO_LARGE", message)
        lines.append(read)
        size += len(read)
    return lines
