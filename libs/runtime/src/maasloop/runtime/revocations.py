"""Whose tokens are refused, heard within a second by every service, and never taken for nobody in silence.

The registry writes each revocation into a JetStream bucket; every service reads what was added twice a second, so
that it knows with each answer of the broker that it has heard all. Without such an answer for five seconds it believes
no token, whatever the reason: a revocation that cannot be heard must not be worth less than one that can.

Tasks: ``follow``, for ever.
"""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from maasloop.bus import subjects
from maasloop.bus.connection import Bus
from maasloop.bus.streams import REVOCATIONS
from maasloop.core.clock import Clock
from maasloop.core.errors import MaasloopError, Unauthenticated, Unavailable
from maasloop.core.reasons import Reason
from maasloop.identity.principals import Kind, Principal
from maasloop.rpc.sessions import Sessions
from maasloop.telemetry import metrics

POLL_S = 0.5
"""Each question costs the broker half a millisecond of processor time."""
FRESH_S = 5.0
"""Age of the last answer from which on no token is believed."""
ANSWER_TIMEOUT_S = 2.0
REREAD_S = 60.0
"""How often everything is read again: a bucket that was set back to an older state counts from another number."""
API_KEY = "api-key"
"""Kind of a revocation that concerns one key and no other of its program."""

_NO_MESSAGE = 10037
"""JetStream error code: no message found."""

_ended = metrics.counter("maasloop_access_streams_ended_total", "Calls ended because their caller was revoked")
_age = metrics.gauge("maasloop_access_revocations_age_seconds", "Age of what is known of revocations")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Revocation:
    """A name whose tokens are refused."""

    kind: str
    """``person``, ``program`` or ``api-key``."""
    name: str
    time: datetime


class Revocations:
    """What this process knows of revocations."""

    def __init__(self, bus: Bus, clock: Clock, sessions: Sessions) -> None:
        """Know nothing yet, and believe nobody; ``sessions`` are ended when their caller is revoked."""
        self._bus = bus
        self._clock = clock
        self._sessions = sessions
        self._known: dict[str, Revocation] = {}
        self._sequence = 0
        self._heard_s = float("-inf")
        self._reread_s = float("-inf")

    @property
    def fresh(self) -> bool:
        """Tell whether all that was revoked five seconds ago is known."""
        return self._clock.monotonic_s() - self._heard_s <= FRESH_S

    def check(self, principal: Principal) -> None:
        """Refuse a caller that was revoked, and any caller while revocations are not heard."""
        if not self.fresh:
            raise Unavailable(Reason.REVOCATIONS_UNKNOWN, "revocations have not been heard of for a while")
        if self.revoked(principal):
            raise Unauthenticated(Reason.CREDENTIALS_REVOKED, f"{principal} was revoked")

    def revoked(self, principal: Principal) -> bool:
        """Tell whether a caller, or the key that it came with, is known as revoked."""
        subject = subjects.revocation(str(principal.kind), principal.name)
        by_key = principal.kind is Kind.PROGRAM and subjects.revocation(API_KEY, principal.credential) in self._known
        return subject in self._known or by_key

    async def follow(self) -> None:
        """Read what is added, for ever."""
        while True:
            try:
                await self._read()
            except (MaasloopError, TimeoutError, OSError) as error:
                log.warning("revocations_not_heard", reason=str(error))
            _age.set(min(self._clock.monotonic_s() - self._heard_s, 1e9))
            await self._clock.sleep(POLL_S)

    async def _read(self) -> None:
        """Read up to the end; what is known afterwards was true when the last question was asked."""
        began_s = self._clock.monotonic_s()
        whole = began_s - self._reread_s > REREAD_S
        known: dict[str, Revocation] = {} if whole else self._known
        sequence = 0 if whole else self._sequence
        while True:
            asked_s = self._clock.monotonic_s()
            message = await self._next(sequence)
            if message is None:
                break
            sequence = int(message["seq"])
            found = _parsed(base64.b64decode(message.get("data", "")))
            if found is None:
                known.pop(message["subject"], None)
            else:
                known[message["subject"]] = found
                self._end()
        self._known, self._sequence, self._heard_s = known, sequence, asked_s
        if whole:
            self._reread_s = began_s
            self._end()

    async def _next(self, sequence: int) -> Mapping[str, str] | None:
        body = {"seq": sequence + 1, "next_by_subj": subjects.REVOCATIONS}
        answer = await self._bus.api(f"STREAM.MSG.GET.{REVOCATIONS.name}", body, timeout_s=ANSWER_TIMEOUT_S)
        error: Mapping[str, object] = answer.get("error", {})
        if error.get("err_code") == _NO_MESSAGE:
            return None
        if error:
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, str(error.get("description")), {"neighbour": "nats"})
        message: Mapping[str, str] = answer["message"]
        return message

    def _end(self) -> None:
        ended = self._sessions.end(self.revoked)
        if ended:
            _ended.inc(ended)
            log.info("sessions_ended", count=ended)


class RevocationWriter:
    """Writes revocations; the answer comes when the broker has them."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        """Only the registry's user of the broker may do this."""
        self._bus = bus
        self._clock = clock

    async def revoke(self, kind: str, name: str) -> None:
        """Refuse all tokens of a name until it is reinstated; again is the same."""
        said = {"kind": kind, "name": name, "time": self._clock.now().isoformat()}
        await self._bus.publish(subjects.revocation(kind, name), json.dumps(said).encode(), _fresh_id())

    async def reinstate(self, kind: str, name: str) -> None:
        """Believe tokens of a name again."""
        await self._bus.publish(subjects.revocation(kind, name), b"", _fresh_id())


def _fresh_id() -> dict[str, str]:
    """Return headers of a message that is no repetition of another."""
    return {"Nats-Msg-Id": secrets.token_hex(16)}


def _parsed(body: bytes) -> Revocation | None:
    """Return a revocation; none where the name was reinstated."""
    if not body:
        return None
    try:
        said = json.loads(body)
        return Revocation(str(said["kind"]), str(said["name"]), datetime.fromisoformat(said["time"]))
    except (ValueError, KeyError, TypeError):
        # Whatever it was meant to be, its subject names somebody who is to be refused.
        return Revocation("", "", datetime.fromtimestamp(0, UTC))
