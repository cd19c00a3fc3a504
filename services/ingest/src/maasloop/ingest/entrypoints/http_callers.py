"""Who sends a request of the HTTP door, and whether they may: tokens and roles as at the gRPC doors.

``Authorization: Bearer`` carries a token. Firmware that can only send a user and a password sends an API key as password
(RFC 7617); its user does not matter.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from maasloop.api.observation.v1.ingest_service_pb2 import RecordObservationsRequest
from maasloop.core.errors import MaasloopError, PermissionDenied, Unauthenticated
from maasloop.core.reasons import Reason
from maasloop.identity.principals import Principal
from maasloop.rpc.authorization import Authorizer

METHOD = "/maasloop.api.observation.v1.IngestService/RecordObservations"
KEY_CHARACTERS_MAX = 200

type Identify = Callable[[str], Awaitable[Principal]]
"""Returns whom a token stands for, or raises ``Unauthenticated``."""
type Exchange = Callable[[str], Awaitable[str]]
"""Returns a token for an API key, or raises ``Unauthenticated``."""
type Refused = Callable[[Principal | None, str, MaasloopError], None]
"""Hears of a refusal: who asked, if that is known, for which method, and why not."""


class HttpCallers:
    """Knows the callers of requests."""

    def __init__(
        self, identify: Identify, exchange: Exchange, authorizer: Authorizer, refused: Refused | None = None
    ) -> None:
        """Believe what ``identify`` believes; ``refused`` hears whom nobody let in."""
        self._identify = identify
        self._exchange = exchange
        self._authorizer = authorizer
        self._refused = refused

    async def identify(self, authorization: str) -> Principal:
        """Return who a header stands for, or raise ``Unauthenticated``."""
        with self._telling(None):
            return await self._identified(authorization)

    async def _identified(self, authorization: str) -> Principal:
        scheme, _, said = authorization.strip().partition(" ")
        if not scheme:
            raise Unauthenticated(Reason.CREDENTIALS_MISSING, "no 'Authorization: Bearer …' came with the request")
        if scheme.lower() == "bearer":
            return await self._identify(said.strip())
        if scheme.lower() == "basic":
            return await self._identify(await self._exchange(_password(said.strip())))
        raise Unauthenticated(Reason.CREDENTIALS_INVALID, "'Authorization' is Bearer with a token, or Basic with a key")

    async def authorize(self, principal: Principal, district: str) -> None:
        """Raise ``PermissionDenied`` unless the caller may record readings of a district."""
        request = RecordObservationsRequest(parent=f"districts/{district}")
        with self._telling(principal):
            await self._authorizer.authorize(principal, METHOD, request)

    @contextmanager
    def _telling(self, principal: Principal | None) -> Iterator[None]:
        try:
            yield
        except (Unauthenticated, PermissionDenied) as error:
            if self._refused is not None:
                self._refused(principal, METHOD, error)
            raise


def _password(encoded: str) -> str:
    try:
        _, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon, password = "", ""
    if not colon or not 0 < len(password) <= KEY_CHARACTERS_MAX:
        raise Unauthenticated(Reason.CREDENTIALS_INVALID, "user and password cannot be read (RFC 7617)")
    return password
