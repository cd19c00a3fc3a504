"""The door at which nats-server asks who a client is: auth callout, one member of a group of replicas.

A request that cannot be read is not answered: the server refuses the client when its own time is up, as it does when no
replica answers at all.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import structlog

from maasloop.audit.entries import Entry, Verb
from maasloop.audit.sink import AuditSink
from maasloop.bus.connection import Bus
from maasloop.bus.device_rights import NETWORK_SERVER_RIGHTS, device_limits, device_rights
from maasloop.core.clock import Clock
from maasloop.core.errors import MaasloopError
from maasloop.core.ids import valid_id
from maasloop.device_registry.domain.admission import Admission, Knock, Refusal, Refused
from maasloop.device_registry.domain.credential import Holder, HolderKind, Method, digest
from maasloop.device_registry.domain.refusals import RefusalTally
from maasloop.device_registry.handlers.admit_connection import AdmitConnection
from maasloop.device_registry.metrics import CONNECT_SECONDS, CONNECTS
from maasloop.identity.nats.callout import SERVER_KEY_HEADER, SUBJECT, CalloutCodec, ConnectRequest
from maasloop.identity.nats.claims import ConnectionType, User
from maasloop.identity.nats.keys import CurveKey, KeyPair

log = structlog.get_logger(__name__)

QUEUE = "callout"
NOBODY, OUTCOME = "nobody", "UNAUTHENTICATED"
AT_ONCE_MAX = 64
WAITING_MAX = 1_024
"""Requests that wait; the server gives up on one after 2 s, so that more would be answered in vain."""
NAME_SHOWN_MAX = 130
"""Characters of a stranger's user name that reach the log."""
CONNECTION_TYPES = {"mqtt": ConnectionType.MQTT, "nats": ConnectionType.STANDARD}


@dataclass(frozen=True, slots=True)
class CalloutKeys:
    """What the callout signs and opens with."""

    codec: CalloutCodec
    devices: KeyPair
    """Signing key of the accounts in which devices are placed."""
    devices_account: str
    """Public key of the account of the city's own."""
    districts: Mapping[str, str] = field(default_factory=dict)
    """Where tenants share the services: by district, the public key of the account of its devices."""

    def account_of(self, holder: Holder) -> str:
        """Return where a client is placed: with its district's tenant; what is no device, with the city's."""
        if holder.kind is not HolderKind.DEVICE or not self.districts:
            return self.devices_account
        if holder.district not in self.districts:
            raise Refused(Refusal.DISTRICT_UNASSIGNED)
        return self.districts[holder.district]

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read ``account.seed``, ``curve.seed``, ``devices.seed``, ``devices.account`` and ``districts.json``."""
        account, curve, devices, devices_account = (
            (directory / name).read_text(encoding="ascii").strip()
            for name in ("account.seed", "curve.seed", "devices.seed", "devices.account")
        )
        path = directory / "districts.json"
        districts = json.loads(path.read_text(encoding="ascii")) if path.exists() else {}
        return cls(CalloutCodec(KeyPair(account), CurveKey(curve)), KeyPair(devices), devices_account, districts)


class Question(Protocol):
    """A message that waits for an answer."""

    data: bytes

    @property
    def headers(self) -> Mapping[str, str] | None:
        """What came beside the body."""
        ...

    async def respond(self, data: bytes) -> None:
        """Answer."""
        ...


class Callout:
    """Answers until it is cancelled."""

    def __init__(
        self,
        bus: Bus,
        keys: CalloutKeys,
        admit: AdmitConnection,
        tally: RefusalTally,
        clock: Clock,
        told: AuditSink | None = None,
    ) -> None:
        """Listen on a connection of the account that the callout answers for; ``tally`` and ``told`` hear of refusals."""
        self._tally = tally
        self._bus = bus
        self._keys = keys
        self._admit = admit
        self._clock = clock
        self._told = told
        self._room = asyncio.Semaphore(AT_ONCE_MAX)
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Listen, and answer each request in a task of its own."""
        await self._bus.listen(SUBJECT, self._heard, queue=QUEUE)
        await asyncio.Event().wait()

    async def _heard(self, message: Question) -> None:
        if len(self._answering) >= WAITING_MAX:
            CONNECTS.labels("overloaded").inc()
            return
        task = asyncio.create_task(self._answer(message))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, message: Question) -> None:
        began_s = self._clock.monotonic_s()
        server_key = (message.headers or {}).get(SERVER_KEY_HEADER, "")
        try:
            request = self._keys.codec.read(message.data, server_key, at_s=self._clock.now().timestamp())
        except MaasloopError as error:
            CONNECTS.labels("unreadable").inc()
            log.warning("callout_request_unreadable", why=error.message)
            return
        async with self._room:
            try:
                answer = await self._judge(request, server_key)
            except Exception as error:
                # Without the database nobody can be let in; the server refuses when its time is up.
                CONNECTS.labels("failed").inc()
                log.warning("callout_failed", why=type(error).__name__)
                return
        CONNECT_SECONDS.observe(self._clock.monotonic_s() - began_s)
        await message.respond(answer)

    async def _judge(self, request: ConnectRequest, server_key: str) -> bytes:
        issued_at = int(self._clock.now().timestamp())
        try:
            admission = await self._admit(knock_of(request))
            account = self._keys.account_of(admission.holder)
        except Refused as refused:
            CONNECTS.labels(refused.refusal.value).inc()
            self._tally.note(request.user, refused.refusal, self._clock.now())
            shown = request.user[:NAME_SHOWN_MAX]
            log.info("connect_refused", user=shown, host=request.host, reason=refused.refusal.value)
            if self._told is not None:
                self._told.note_refusal(_entry(request.user, refused.refusal.value, self._clock.now_us()))
            return self._keys.codec.refuse(request, server_key, refused.refusal.value, issued_at=issued_at)
        CONNECTS.labels("accepted").inc()
        return self._keys.codec.accept(
            request,
            server_key,
            user=user_of(admission, request.protocol, account),
            name=admission.holder.user_name,
            account=self._keys.devices,
            issued_at=issued_at,
            expires_at=int(admission.expire_time.timestamp()),
        )


def _entry(user: str, reason: str, time_us: int) -> Entry:
    """Return the entry of a refused client; a user name that could be a device's says whose door it was."""
    district, _, device = user.partition("/")
    resource = f"districts/{district}/devices/{device}" if valid_id(district) and valid_id(device) else ""
    return Entry(
        time_us=time_us,
        verb=Verb.REFUSED,
        actor=NOBODY,
        method=SUBJECT,
        resource=resource,
        outcome=OUTCOME,
        reason=reason,
    )


def knock_of(request: ConnectRequest) -> Knock:
    """Return what a client brought: the strongest proof counts."""
    method, proof = None, b""
    if request.certificate:
        method, proof = Method.CERTIFICATE, request.certificate
    elif request.signed_by:
        method, proof = Method.NKEY, request.signed_by.encode()
    elif request.password:
        method, proof = Method.PASSWORD, digest(request.password)
    return Knock(
        server=request.server,
        connection=request.connection,
        protocol=request.protocol,
        user_name=request.user,
        client_id=request.client_id,
        method=method,
        proof=proof,
    )


def user_of(admission: Admission, protocol: str, account: str) -> User:
    """Return what NATS is told of a client that is let into an account."""
    holder = admission.holder
    rights, limits = NETWORK_SERVER_RIGHTS, device_limits()
    if holder.kind is HolderKind.DEVICE:
        rights = device_rights(holder.district, holder.id, admission.speaks_for)
        limits = device_limits(admission.speaks_for)
    return User(rights, limits, (CONNECTION_TYPES[protocol],), issuer_account=account)
