"""The life of a site: its cabinet steps, its link comes and goes, and what happens is told.

When a supervisor refuses the exchange list, the next one of the sheet is offered on the next connection; the one that
was taken stays.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from maasloop.core.clock import Clock
from maasloop.rsmp.encoding import time_text
from maasloop.rsmp.events import (
    ClockTold,
    Closed,
    CommandTaken,
    Established,
    Event,
    PeerMistaken,
    PeerSilent,
    Refused,
)
from maasloop.rsmp.exchange_list import tlc
from maasloop.rsmp.messages import Version
from maasloop.rsmp.session import Instant
from maasloop.rsmp.site import SiteIdentity, SiteSession
from maasloop.rsmp.site_state import SiteState
from maasloop.rsmp.transport import SiteClient

from .controller import SiteController
from .secret import SecurityCodes
from .sheet import SiteSheet

STEP_S = 0.1
"""Between two steps of the cabinet."""
ANSWER_S = 0.2
"""From a command to restart to the loss of power, so that its answer leaves."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something worth a line; no security code is in it."""

    at: datetime
    kind: str
    details: Mapping[str, str]

    def line(self) -> str:
        """Return it for people."""
        told = "  ".join(f"{key} {value}" for key, value in self.details.items())
        return f"{time_text(self.at)}  {self.kind:<12}  {told}".rstrip()


class SiteSimulator:
    """One site and one supervisor."""

    def __init__(self, sheet: SiteSheet, codes: SecurityCodes, clock: Clock, tell: Callable[[Happening], None]) -> None:
        """Have no power until ``run``."""
        self._sheet = sheet
        self._codes = codes
        self._clock = clock
        self._tell_owner = tell
        self._offered = 0
        self._refused = False
        self.cabinet = SiteController(sheet, codes, clock)
        self._state, self._client = self._connectable()
        self._shown: tuple[object, ...] = ()
        self._unlinked = ""
        """Why there is no link, so that it is told once."""

    async def run(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Live until cancelled; a restart loses power, and with it everything but security codes."""
        while True:
            await self._powered(host, port, tls)
            await self._clock.sleep(self._sheet.start_up.restart_s)
            self.cabinet = SiteController(self._sheet, self._codes, self._clock)
            self.cabinet.list = self._sheet.exchange_lists[self._offered]
            self._state, self._client = self._connectable()

    async def _powered(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Run from power on to power off."""
        self._tell("power on", {})
        link = asyncio.create_task(self._client.run(host, port, tls))
        try:
            while not self.cabinet.restart_ordered:
                if self._refused:
                    await _end(link)
                    self._offer_next()
                    await self._clock.sleep(self._sheet.link.reconnect_s)
                    link = asyncio.create_task(self._client.run(host, port, tls))
                if link.done():
                    link.result()
                self.step()
                await self._clock.sleep(STEP_S)
            await self._clock.sleep(ANSWER_S)
            self._tell("restart", {})
        finally:
            await _end(link)

    def step(self) -> None:
        """Let the cabinet catch up with time, and report what changed."""
        self.cabinet.step()
        self._client.do(self._report)
        shown = (self.cabinet.position.shown or "control", *self.cabinet.plan)
        if shown != self._shown:
            self._shown = shown
            position, number, source = map(str, shown)
            self._tell("signals", {"shown": position, "plan": number, "source": source})

    def _report(self, session: SiteSession, now: Instant) -> None:
        for (component, code), (active, values) in self.cabinet.alarms().items():
            if active is not self._state.alarm(component, code, now).active:
                self._tell("alarm", {"component": component, "code": code, "active": str(active)})
            session.set_alarm(component, code, values, now, active=active)
        session.set_aggregated_status(self._sheet.controller, self.cabinet.aggregated(), now)
        session.refresh(now)

    def _connectable(self) -> tuple[SiteState, SiteClient]:
        spoken = self._sheet.exchange_lists[self._offered]
        state = SiteState(self.cabinet, tlc(spoken.release), self._sheet.link.buffered)
        identity = SiteIdentity(
            (self._sheet.site_id,),
            spoken.version,
            self._sheet.core_versions,
            suspended_in_lower_case=spoken.suspended == "lower case",
            undefined_is_null=spoken.undefined_values == "null",
        )
        client = SiteClient(identity, state, self._heard, self.cabinet.clock, self._sheet.link.transport())
        return state, client

    def _offer_next(self) -> None:
        self._refused = False
        self._offered = (self._offered + 1) % len(self._sheet.exchange_lists)
        self.cabinet.list = self._sheet.exchange_lists[self._offered]
        self._state, self._client = self._connectable()

    def _heard(self, event: Event) -> None:
        match event:
            case Established():
                self.cabinet.linked, self._unlinked = True, ""
                self._tell("link", {"core": str(event.core), "list": str(event.exchange_list)})
            case Closed():
                self.cabinet.linked = False
                if event.reason != self._unlinked:
                    self._tell("no link", {"reason": event.reason})
                self._unlinked = event.reason
            case Refused():
                self._refused |= isinstance(event.message, Version) and len(self._sheet.exchange_lists) > 1
                self._tell("refused", {"message": type(event.message).__name__, "reason": event.reason})
            case CommandTaken():
                values = {key: str(value) for key, value in event.values.items() if "code" not in key.lower()}
                self._tell("command", {"component": event.component, "code": event.code, **values})
                self.step()
            case PeerMistaken():
                self._tell("mistake", {"reason": event.reason})
            case PeerSilent():
                self._tell("silence", {"seconds": f"{event.silence_s:g}"})
            case ClockTold() if self._sheet.link.clock_follows_supervisor:
                self.cabinet.clock.set(event.time)
            case _:
                pass

    def _tell(self, kind: str, details: Mapping[str, str]) -> None:
        self._tell_owner(Happening(self._clock.now(), kind, details))


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
