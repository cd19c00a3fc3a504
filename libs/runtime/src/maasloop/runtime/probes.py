"""What an orchestrator and a person ask a process: has it started, does it live, is it ready, what did it count.

Started means assembled. Live means that the event loop turns, never that a neighbour answers: restarting us mends no
neighbour. Ready means that every check of what we own says nothing against us.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from maasloop.core.clock import Clock
from maasloop.telemetry import metrics

type Check = Callable[[], Awaitable[str | None]]
"""Returns why we are not ready, or nothing. An exception counts as a reason."""
type Note = Callable[[], str]
"""Returns what works less well than it could, or nothing."""

BEAT_INTERVAL_S = 0.5
BEAT_AGE_MAX_S = 5.0
CHECK_TIMEOUT_S = 2.0

_OK = 200
_UNAVAILABLE = 503


class Probes:
    """State of the process as probes see it. ``beat`` runs as a task beside the work."""

    def __init__(self, clock: Clock) -> None:
        self.started = False
        self.draining = False
        self._checks: Mapping[str, Check] = MappingProxyType({})
        self._notes: Mapping[str, Note] = MappingProxyType({})
        self._clock = clock
        self._beaten_s = clock.monotonic_s()
        self.app = Starlette(
            routes=[
                Route("/health/startup", self._startup),
                Route("/health/live", self._live),
                Route("/health/ready", self._ready),
                Route("/metrics", self._metrics),
            ]
        )

    def start(self, checks: Mapping[str, Check], notes: Mapping[str, Note] = MappingProxyType({})) -> None:
        """Say started, and from here on ask the checks for readiness; notes are told beside it."""
        self._checks, self._notes = checks, notes
        self.started = True

    def drain(self) -> None:
        """Say not ready until the end."""
        self.draining = True

    async def beat(self) -> None:
        """Prove for ever that the loop turns."""
        while True:
            self._beaten_s = self._clock.monotonic_s()
            await self._clock.sleep(BEAT_INTERVAL_S)

    async def reasons(self) -> dict[str, str]:
        """Return what speaks against readiness, by check."""
        if not self.started:
            return {"startup": "not assembled yet"}
        if self.draining:
            return {"drain": "shutting down"}
        names = list(self._checks)
        answers = await asyncio.gather(*(_asked(self._checks[name]) for name in names))
        return {name: reason for name, reason in zip(names, answers, strict=True) if reason}

    async def _startup(self, _request: Request) -> Response:
        return JSONResponse({"started": self.started}, _OK if self.started else _UNAVAILABLE)

    async def _live(self, _request: Request) -> Response:
        age_s = self._clock.monotonic_s() - self._beaten_s
        live = age_s <= BEAT_AGE_MAX_S
        return JSONResponse({"live": live, "heartbeat_age_s": round(age_s, 3)}, _OK if live else _UNAVAILABLE)

    async def _ready(self, _request: Request) -> Response:
        reasons = await self.reasons()
        checks = {name: {"ready": name not in reasons} for name in self._checks}
        for name, reason in reasons.items():
            checks.setdefault(name, {"ready": False}).update(reason=reason)  # type: ignore[call-overload]  # each value is a mapping
        notes = {name: text for name, note in self._notes.items() if (text := note())}
        told = {"ready": not reasons, "checks": checks, **({"notes": notes} if notes else {})}
        return JSONResponse(told, _UNAVAILABLE if reasons else _OK)

    async def _metrics(self, _request: Request) -> Response:
        return Response(metrics.render(), headers={"content-type": metrics.CONTENT_TYPE})


async def _asked(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S:g} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
