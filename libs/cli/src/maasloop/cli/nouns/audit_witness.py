"""``maasloop audit witness``: remembers the checkpoints that it has seen, signs what continues them, and finds forks."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maasloop.cli.addresses import Addresses
from maasloop.cli.audit_keys import verifying_keys
from maasloop.cli.calling import bus, running
from maasloop.cli.files import text_of
from maasloop.cli.printing import Json, print_json, say
from maasloop.core.clock import SystemClock
from maasloop.stack.audit_keys import AuditFiles
from maasloop.stack.state import StateDirectory

if TYPE_CHECKING:
    from maasloop.audit.notes import SigningKey
    from maasloop.audit.witnessing import Witness
    from maasloop.bus.connection import Bus

FORKED = 1
WAITING_MAX = 1_000
KEY_FILE, PUBLIC_FILE = "witness.key", "witness.vkey"
SUFFIX = ".cosigned"


def witness(
    context: typer.Context,
    *,
    once: Annotated[bool, typer.Option("--once", help="Look at what the stream holds, and end.")] = False,
    directory: Annotated[
        Path | None, typer.Option(help="What was seen, and the witness's key; in the checkout's state by default.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name under which a new key signs.")] = "witness",
    key: Annotated[
        list[str] | None, typer.Option(help="Public key of a log, or its file; those of this checkout by default.")
    ] = None,
    export_file: Annotated[
        Path | None, typer.Option("--export", help="Catch up with a log from this file, after checkpoints were missed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Cosign the checkpoints of audit logs as they come; exit status 1 when a log shows two pasts."""
    addresses: Addresses = context.obj
    files = AuditFiles(StateDirectory(addresses.root).path)
    watch = _Watch(directory or files.witness, as_json=as_json)
    watch.open(name, verifying_keys(key or [], files))
    if export_file is not None:
        watch.catch_up(export_file)
        return
    running(_hear(context, watch, once=once))


async def _hear(context: typer.Context, watch: "_Watch", *, once: bool) -> None:
    from maasloop.bus.subjects import AUDIT_CHECKPOINTED

    heard: asyncio.Queue[bytes] = asyncio.Queue(WAITING_MAX)

    async def hear(message: Any) -> None:
        await heard.put(message.data)

    async with bus(context) as connected:
        if not once:
            await connected.listen(AUDIT_CHECKPOINTED.wildcard(), hear)
        await _stored(connected, watch)
        while not once:
            watch.see(await heard.get())


async def _stored(connected: "Bus", watch: "_Watch") -> None:
    """Look at what the stream still holds, so that what was missed is no gap."""
    import base64

    from maasloop.bus.streams import AUDIT
    from maasloop.bus.subjects import AUDIT_CHECKPOINTED
    from maasloop.core.errors import Retryable

    following = {"seq": 1, "next_by_subj": AUDIT_CHECKPOINTED.wildcard()}
    while True:
        try:
            answer = await connected.api(f"STREAM.MSG.GET.{AUDIT.name}", following)
        except Retryable:
            say("the stream AUDIT can't be read with these credentials: what is published from now on is heard")
            return
        if "message" not in answer:
            return
        following["seq"] = answer["message"]["seq"] + 1
        watch.see(base64.b64decode(answer["message"]["data"]))


@dataclass
class _Watch:
    """A witness with its files."""

    directory: Path
    as_json: bool
    witness: "Witness" = field(init=False)

    def open(self, name: str, keys: dict[str, Any]) -> None:
        """Read what was seen; make a key where there is none."""
        from maasloop.audit.checkpoints import Checkpoint
        from maasloop.audit.notes import Note, NoteRefused
        from maasloop.audit.witnessing import Witness
        from maasloop.identity.secret_files import secret_directory

        secret_directory(self.directory)
        seen = {}
        for path in self.directory.glob(f"*{SUFFIX}"):
            text = text_of(path)
            try:
                seen[Checkpoint.read(Note.parse(text)).origin] = text
            except NoteRefused as error:
                message = f"{path}: {error}"
                raise typer.BadParameter(message) from None
        self.witness = Witness(self._key(name), keys, seen)

    def see(self, body: bytes) -> None:
        """Judge a published checkpoint, and keep it with the cosignature."""
        from google.protobuf.message import DecodeError

        from maasloop.api.common.v1.audit_pb2 import AuditCheckpointed
        from maasloop.audit.notes import NoteRefused
        from maasloop.audit.witnessing import Forked, ProofMissing

        try:
            message = AuditCheckpointed.FromString(body)
            note = self.witness.cosign(
                message.checkpoint,
                message.previous_size,
                list(message.consistency_hashes),
                time_s=SystemClock().now_us() // 1_000_000,
            )
        except Forked as error:
            self._keep_evidence(error)
            raise typer.Exit(FORKED) from None
        except ProofMissing as error:
            self._tell(False, f"not cosigned: {error}")
        except (NoteRefused, DecodeError) as error:
            self._tell(False, f"refused: {error}")
        else:
            self._keep(str(note))

    def catch_up(self, path: Path) -> None:
        """Check a whole log against what was seen of it, and take over its newest checkpoint."""
        from maasloop.audit.exports import Damaged, Export
        from maasloop.audit.verifying import verify

        try:
            with path.open(encoding="utf-8") as file:
                export = Export.read(file)
                known = self.witness.seen.get(export.origin)
                if export.origin not in self.witness.logs:
                    message = f"no public key of {export.origin} is known"
                    raise Damaged(message)
                verify(export, self.witness.logs[export.origin], [known] if known else [])
        except (Damaged, UnicodeDecodeError) as error:
            self._tell(False, f"refused: {error}")
            raise typer.Exit(FORKED) from None
        self.witness.seen.pop(export.origin, None)
        self._keep(str(self.witness.cosign(export.note, 0, [], time_s=SystemClock().now_us() // 1_000_000)))

    def _key(self, name: str) -> "SigningKey":
        from maasloop.audit.notes import WITNESS, NoteRefused, SigningKey
        from maasloop.identity.secret_files import write_secret

        path = self.directory / KEY_FILE
        if not path.exists():
            write_secret(path, f"{SigningKey.generate(name, WITNESS).text()}\n".encode())
        try:
            key = SigningKey.parse(text_of(path))
        except NoteRefused as error:
            message = f"{path}: {error}"
            raise typer.BadParameter(message) from None
        (self.directory / PUBLIC_FILE).write_text(f"{key.verifying}\n", encoding="utf-8")
        return key

    def _keep(self, text: str) -> None:
        from maasloop.audit.checkpoints import Checkpoint
        from maasloop.audit.notes import Note

        shown = Checkpoint.read(Note.parse(text))
        file = self.directory / f"{_file_name(shown.origin)}{SUFFIX}"
        draft = file.with_suffix(".draft")
        draft.write_text(self.witness.seen[shown.origin], encoding="utf-8")
        draft.replace(file)
        self._tell(True, f"{shown.origin}: {shown.size} entries")

    def _keep_evidence(self, error: Any) -> None:
        file = self.directory / f"fork-{SystemClock().now_us()}.txt"
        file.write_text(f"{error.seen}\n{error.shown}", encoding="utf-8")
        self._tell(False, f"FORK: {error}; both checkpoints are in {file}")

    def _tell(self, holds: bool, text: str) -> None:
        if self.as_json:
            print_json({"cosigned": holds, "text": text}, line=True)
        else:
            say(text if not holds else f"cosigned {text}")


def _file_name(origin: str) -> str:
    return origin.replace("/", "-")
