"""What calls leave in the audit log.

A call that changes something, or gives personal data, is written down before its handler runs, and does not run if that
fails; how it ended follows. A call without identity or right leaves an entry too. Reads of what is not personal, and the
data path (``observation.record``), leave none.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from opentelemetry import trace

from maasloop.audit.entries import Entry, Verb
from maasloop.audit.pseudonyms import Pseudonyms
from maasloop.audit.sink import AuditSink
from maasloop.core.clock import Clock
from maasloop.core.errors import MaasloopError
from maasloop.identity.principals import Principal

from . import statuses
from .authorization import permission_of

NOBODY = "nobody"
READ = "read"
DATA_PATH = frozenset({"observation.record"})
"""Permissions whose calls come by the thousand a second, and whose readings are accounted for otherwise."""
ROLES_NAMED_MAX = 8


@cache
def verb_of(method: str) -> Verb | None:
    """Return how a method's success is called in the log; none for a method that leaves no entry."""
    asked = permission_of(method)
    reads = asked.name.rpartition(".")[2] == READ
    if not asked.name or asked.name in DATA_PATH or (reads and not asked.personal):
        return None
    return Verb.READ if reads else Verb.CHANGED


class CallAudit:
    """Writes the entries of a server's calls."""

    def __init__(self, sink: AuditSink, pseudonyms: Pseudonyms, clock: Clock) -> None:
        self.sink = sink
        self.pseudonyms = pseudonyms
        self.clock = clock

    @asynccontextmanager
    async def around(self, principal: Principal | None, method: str) -> AsyncIterator["AuditedCall"]:
        """Follow a call: its handler runs in the block, after ``AuditedCall.begin``."""
        call = AuditedCall(self, principal, method)
        try:
            yield call
        except asyncio.CancelledError:
            call.end(grpc.StatusCode.CANCELLED.name)
            raise
        except MaasloopError as error:
            call.end(statuses.code_of(error).name, error.reason)
            raise
        except Exception:
            call.end(grpc.StatusCode.INTERNAL.name)
            raise
        call.end(grpc.StatusCode.OK.name)

    def refused(self, principal: Principal | None, method: str, error: MaasloopError) -> None:
        """Write that a caller was not let in."""
        code = statuses.code_of(error).name
        self.sink.note_refusal(self.entry(principal, method, Verb.REFUSED, outcome=code, reason=error.reason))

    def entry(
        self,
        principal: Principal | None,
        method: str,
        verb: Verb,
        *,
        resource: str = "",
        call: str = "",
        outcome: str = "",
        reason: str = "",
    ) -> Entry:
        """Return an entry about a call, of now."""
        return Entry(
            time_us=self.clock.now_us(),
            verb=verb,
            actor=self._actor(principal),
            authority=_authority(principal),
            credential=principal.credential if principal else "",
            method=method.lstrip("/"),
            resource=self.pseudonyms.resource(resource),
            outcome=outcome,
            reason=reason,
            call=call,
            trace=_trace(),
        )

    def _actor(self, principal: Principal | None) -> str:
        if principal is None:
            return NOBODY
        if principal.data_subject:
            # A person who acts for herself is no operator: she stays a pseudonym.
            return f"{principal.kind}/{self.pseudonyms.of(principal.data_subject)}"
        return str(principal)


class AuditedCall:
    """One call on its way."""

    def __init__(self, audit: CallAudit, principal: Principal | None, method: str) -> None:
        self._audit = audit
        self._principal = principal
        self._method = method
        self._verb = verb_of(method)
        self._id = ""
        self._resource = ""

    async def begin(self, request: Message) -> None:
        """Write that the call is let in; its first request says what it is about. Raises ``Unavailable`` if that fails."""
        if self._verb is None or self._id:
            return
        self._resource = resource_of(request)
        call = secrets.token_hex(8)
        await self._audit.sink.record(self._entry(Verb.ASKED, call))
        self._id = call

    def end(self, outcome: str, reason: str = "") -> None:
        """Write how it ended."""
        if not self._id or self._verb is None:
            return
        verb = self._verb if outcome == grpc.StatusCode.OK.name else Verb.FAILED
        self._audit.sink.note(self._entry(verb, self._id, outcome, reason))

    def _entry(self, verb: Verb, call: str, outcome: str = "", reason: str = "") -> Entry:
        return self._audit.entry(
            self._principal, self._method, verb, resource=self._resource, call=call, outcome=outcome, reason=reason
        )


def resource_of(request: Message) -> str:
    """Return the name of what a request is about.

    That is the person, where it names one; its ``name``; the name in the resource that it carries, or that this will get
    by its id; its ``parent``.
    """
    carried = [value for field, value in request.ListFields() if _single(field)]
    for message in (request, *carried):
        if text := _text(message, "data_subject"):
            return text
    for message in (request, *carried):
        if text := _text(message, "name"):
            return text
    parent = _text(request, "parent")
    return next(_created(request, parent), parent)


def _created(request: Message, parent: str) -> Iterator[str]:
    """Yield the name under which a resource is to be created (AIP-133)."""
    for field in request.DESCRIPTOR.fields:
        chosen = _text(request, f"{field.name}_id")
        if field.type == FieldDescriptor.TYPE_MESSAGE and chosen:
            yield "/".join(part for part in (parent, _collection(field.name), chosen) if part)


def _collection(field: str) -> str:
    """Return the collection of a resource's field (AIP-122): ``device_type`` becomes ``deviceTypes``."""
    first, *words = field.split("_")
    singular = first + "".join(word.title() for word in words)
    return f"{singular[:-1]}ies" if singular.endswith("y") else f"{singular}s"


def _single(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_MESSAGE and not field.is_repeated


def _text(message: Message, name: str) -> str:
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None or field.is_repeated or field.type != FieldDescriptor.TYPE_STRING:
        return ""
    return str(getattr(message, name))


def _authority(principal: Principal | None) -> str:
    """Return the roles of a caller, ``role@district`` where a role holds in some districts only."""
    grants = principal.grants if principal is not None else ()
    named = [
        grant.role if grant.districts is None else f"{grant.role}@{'+'.join(sorted(grant.districts))}"
        for grant in grants[:ROLES_NAMED_MAX]
    ]
    return ",".join(named)


def _trace() -> str:
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""
