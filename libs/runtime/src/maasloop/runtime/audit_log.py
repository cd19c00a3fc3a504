"""A service's audit log as its composition root takes it: the sink, what calls leave, and the tasks.

The directory of keys holds ``{service}.key``, which signs the log's checkpoints, and ``pseudonyms.key``, the city's
(``maasloop.audit.notes``, ``.pseudonyms``).
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
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
from .probes import Check

PSEUDONYMS_KEY = "pseudonyms.key"
CHECKPOINT_SUFFIX = ".checkpoint"


@dataclass(frozen=True, slots=True)
class AuditLog:
    """What the parts of a service need of its log."""

    trail: AuditTrail
    calls: CallAudit
    tasks: Mapping[str, Callable[[], Awaitable[None]]]
    checks: Mapping[str, Check]


def open_audit_log(service: str, keys: Path, checkpoints: Path | None, pool: Pool, bus: Bus, clock: Clock) -> AuditLog:
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
        checks={"audit": trail.check},
    )
