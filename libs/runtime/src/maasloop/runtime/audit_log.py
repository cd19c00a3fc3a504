"""A service's audit log as its composition root takes it: the sink, what calls leave, and the tasks.

The directory of keys holds ``{service}.key``, which signs the log's checkpoints, and ``pseudonyms.key``, the city's
(``maasloop.audit.notes``, ``.pseudonyms``).
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from maasloop.api.common.v1.audit_pb2 import AuditCheckpointed
from maasloop.audit.notes import SigningKey
from maasloop.audit.pseudonyms import Pseudonyms
from maasloop.bus import subjects
from maasloop.bus.connection import Bus
from maasloop.bus.envelope import Envelope
from maasloop.core.clock import Clock
from maasloop.postgres.pool import Pool
from maasloop.rpc.auditing import CallAudit

from .auditing import AuditTrail
from .checkpointing import Checkpointer
from .probes import Note
from .settings import ServiceSettings

PSEUDONYMS_KEY = "pseudonyms.key"
CHECKPOINT_SUFFIX = ".checkpoint"


@dataclass(frozen=True, slots=True)
class AuditLog:
    """What the parts of a service need of its log; empty where nobody is identified, who could answer for anything."""

    trail: AuditTrail | None = None
    calls: CallAudit | None = None
    tasks: Mapping[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    notes: Mapping[str, Note] = field(default_factory=dict)
    """What is wrong with the log: without it nothing is changed, and reads and readings go on."""


def open_audit_log(settings: ServiceSettings, pool: Pool, bus: Bus, clock: Clock) -> AuditLog:
    """Return the log that the settings name."""
    keys = settings.audit_keys_directory
    if keys is None:
        return AuditLog()
    return audit_log(settings.service, keys, settings.audit_checkpoints_directory, pool, bus, clock)


def audit_log(service: str, keys: Path, checkpoints: Path | None, pool: Pool, bus: Bus, clock: Clock) -> AuditLog:
    """Read the keys and put the log together; ``checkpoints`` is a directory for the newest one."""
    pseudonyms = Pseudonyms(bytes.fromhex((keys / PSEUDONYMS_KEY).read_text(encoding="utf-8").strip()))
    key = SigningKey.parse((keys / f"{service}.key").read_text(encoding="utf-8"))
    subject = subjects.AUDIT_CHECKPOINTED.subject(subjects.ALL_DISTRICTS, service)

    async def publish(message: AuditCheckpointed) -> None:
        # The same note has the same id; another one of the same size has not, so that a fork is never dropped as a repetition.
        digest = hashlib.sha256(message.checkpoint.encode()).hexdigest()
        fact = subjects.AUDIT_CHECKPOINTED.message
        envelope = Envelope(f"audit-{service}-{digest}", fact, f"maasloop/{service}", clock.now_us())
        await bus.publish(subject, message.SerializeToString(), envelope.headers())

    trail = AuditTrail(pool, clock)
    file = checkpoints / f"{service}{CHECKPOINT_SUFFIX}" if checkpoints is not None else None
    keeper = Checkpointer(pool, key, clock, publish, file=file)
    return AuditLog(
        trail,
        CallAudit(trail, pseudonyms, clock),
        tasks={"audit": trail.run, "checkpoints": keeper.run},
        notes={"audit": trail.trouble, "audit-log": keeper.trouble},
    )
