"""Who calls, and whether they may: asked for every call before its handler.

A certificate of our authority names a service or the operator of the machine; a caller without one shows a bearer token
(RFC 6750), which people and programs have. A service may call what ``callers.toml`` lists; the others are judged by the
permission that the method declares.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import grpc
from google.protobuf.message import Message

from maasloop.core.errors import MaasloopError, PermissionDenied, Unauthenticated
from maasloop.core.reasons import Reason
from maasloop.identity.callers import may_call
from maasloop.identity.principals import CERTIFIED, Kind, Principal, of_uri
from maasloop.identity.tls import LiveTls
from maasloop.telemetry import metrics

from . import statuses
from .auditing import AuditedCall, CallAudit, verb_of
from .authorization import Authorizer, permission_of

AUTHORIZATION = "authorization"
BEARER = "bearer "
TOKEN_CHARACTERS_MAX = 8 * 1024

_URI_NAMES = "x509_subject_alternative_name"

_of_uri = lru_cache(maxsize=256)(of_uri)

refused = metrics.counter("maasloop_rpc_refusals_total", "Calls refused, by reason", ["method", "reason"])

type _Context = grpc.aio.ServicerContext[Any, Any]
type _Handler = grpc.RpcMethodHandler[Any, Any]


class TokenChecker(Protocol):
    """Checks bearer tokens."""

    async def principal(self, bearer: str) -> Principal:
        """Return who a token stands for, or raise ``Unauthenticated``."""
        ...

    def session(self, principal: Principal) -> AbstractAsyncContextManager[None]:
        """Run a call in the block, which ends with ``Unauthenticated`` where the token ends or is revoked meanwhile."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What a server needs to know its callers."""

    tls: LiveTls
    public_address: str = ""
    """Host and port of a second listener, for callers without a certificate; empty for none."""
    tokens: TokenChecker | None = None
    """None lets nobody in by token."""
    authorizer: Authorizer | None = None
    """None lets in services and the operator of the machine only."""
    audit: CallAudit | None = None
    """Where calls that change something, and refusals, are written down; None keeps no log."""


class Gate:
    """Asks both questions. Counts and logs are the interceptor's."""

    def __init__(self, security: Security) -> None:
        self._tokens = security.tokens
        self._authorizer = security.authorizer
        self._audit = security.audit
        self._trust_domain = security.tls.material.trust_domain
        if not self._trust_domain:
            message = f"{security.tls.files.certificate} has no name of the form spiffe://…, so nobody can be its peer"
            raise ValueError(message)

    async def identify(self, context: _Context, method: str) -> Principal | None:
        """Return the caller of a method (``/package.Service/Method``), or raise ``Unauthenticated``.

        None is nobody: a method whose request carries its own proof asks for no other.
        """
        try:
            names = context.auth_context().get(_URI_NAMES)
            if names is not None:
                return self._certified(names)
            return None if needs_nobody(method) else await self._told(context)
        except Unauthenticated as error:
            if self._audit is not None:
                self._audit.refused(None, method, error)
            raise

    def session(self, principal: Principal | None) -> AbstractAsyncContextManager[None]:
        """Run a call in the block, no longer than its caller's token holds; a certificate holds as long as its link."""
        if self._tokens is None or principal is None or principal.kind in CERTIFIED:
            return nullcontext()
        return self._tokens.session(principal)

    def audited(self, principal: Principal | None, method: str) -> AbstractAsyncContextManager[AuditedCall | None]:
        """Follow a call into the audit log; none where there is no log, or calls of the method leave no entry."""
        if self._audit is None or verb_of(method) is None:
            return nullcontext()
        return self._audit.around(principal, method)

    async def _told(self, context: _Context) -> Principal:
        """Return whom the token of a call stands for."""
        token = _bearer(context)
        if token is None:
            message = "neither a certificate nor 'authorization: Bearer …' came with the call"
            raise Unauthenticated(Reason.CREDENTIALS_MISSING, message)
        if self._tokens is None:
            raise Unauthenticated(Reason.CREDENTIALS_INVALID, "no tokens are taken here")
        return await self._tokens.principal(token)

    async def authorize(
        self, principal: Principal | None, method: str, request: Message, *, continued: bool = False
    ) -> None:
        """Raise ``PermissionDenied`` unless the caller may call the method (``/package.Service/Method``) with this.

        Raise ``Unauthenticated`` where the caller may, and must first prove anew who they are.
        """
        try:
            await self._judge(principal, method, request, continued=continued)
        except (PermissionDenied, Unauthenticated) as error:
            if self._audit is not None:
                self._audit.refused(principal, method, error)
            raise

    async def _judge(self, principal: Principal | None, method: str, request: Message, *, continued: bool) -> None:
        if needs_nobody(method):
            return
        if principal is None:
            raise PermissionDenied(Reason.PERMISSION_MISSING, f"nobody may call {method}")
        if principal.kind is Kind.SERVICE:
            if not may_call(principal.name, method):
                raise _denied(principal, method)
        elif self._authorizer is not None:
            await self._authorizer.authorize(principal, method, request, continued=continued)
        elif principal.kind is not Kind.OPERATOR:
            raise _denied(principal, method)

    def _certified(self, names: Iterable[bytes]) -> Principal:
        found = [_of_uri(name.decode("utf-8", "replace"), self._trust_domain) for name in names]
        principals = [principal for principal in found if principal is not None]
        if len(principals) != 1:
            message = f"the certificate names nobody of {self._trust_domain}"
            raise Unauthenticated(Reason.CREDENTIALS_INVALID, message)
        return principals[0]


_caller: ContextVar[Principal | None] = ContextVar("maasloop_rpc_caller", default=None)


def caller() -> Principal | None:
    """Return who makes the call that is handled; none where callers are not identified."""
    return _caller.get()


@contextmanager
def calling(principal: Principal | None) -> Iterator[None]:
    """Make ``caller`` answer with a principal in the block."""
    token = _caller.set(principal)
    try:
        yield
    finally:
        _caller.reset(token)


@lru_cache(maxsize=1024)
def needs_nobody(method: str) -> bool:
    """Tell whether the requests of a method carry their own proof."""
    return permission_of(method).anonymous


def known_only(gate: Gate, method: str, handler: _Handler) -> _Handler:
    """Return a handler of gRPC's own services, health and reflection, that answers those only who are known."""

    async def known(context: _Context) -> None:
        try:
            await gate.identify(context, method)
        except MaasloopError as error:
            refused.labels(method, error.reason).inc()
            await context.abort_with_status(statuses.to_status(error))

    async def answer(request: object, context: _Context) -> object:
        await known(context)
        return await behaviour(request, context)

    async def stream(request: object, context: _Context) -> AsyncIterator[object]:
        await known(context)
        async for item in behaviour(request, context):
            yield item

    codecs = (handler.request_deserializer, handler.response_serializer)
    if handler.unary_unary is not None:
        behaviour: Any = handler.unary_unary
        return grpc.unary_unary_rpc_method_handler(answer, *codecs)
    if handler.unary_stream is not None:
        # It writes to the context itself.
        behaviour = handler.unary_stream
        return grpc.unary_stream_rpc_method_handler(answer, *codecs)
    behaviour = handler.stream_stream
    return grpc.stream_stream_rpc_method_handler(stream, *codecs)


def _denied(principal: Principal, method: str) -> PermissionDenied:
    return PermissionDenied(
        Reason.PERMISSION_MISSING, f"{principal} may not call {method}", {"principal": str(principal)}
    )


def _bearer(context: _Context) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == AUTHORIZATION:
            text = value if isinstance(value, str) else value.decode("ascii", "replace")
            if len(text) <= TOKEN_CHARACTERS_MAX and text[: len(BEARER)].lower() == BEARER:
                return text[len(BEARER) :].strip()
            raise Unauthenticated(Reason.CREDENTIALS_INVALID, "'authorization' must be 'Bearer', a space and a token")
    return None
