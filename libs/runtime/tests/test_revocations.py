"""Revocations on a real broker: heard by every process, and nobody is believed while they cannot be heard."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from maasloop.bus import subjects
from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import ensure
from maasloop.core.clock import FakeClock, SystemClock
from maasloop.core.errors import Unauthenticated, Unavailable
from maasloop.identity.principals import Kind, Principal
from maasloop.rpc.sessions import Sessions
from maasloop.runtime.revocations import API_KEY, FRESH_S, Revocations, RevocationWriter

pytestmark = pytest.mark.integration

TIMEOUT_S = 20.0
CLOCK = SystemClock()
ADA = Principal(Kind.PERSON, "ada|of the city@example")
APP = Principal(Kind.PROGRAM, "app", credential="k-1")


@pytest.fixture(name="bus")
async def _bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test") as bus:
        await ensure(bus)
        yield bus


@asynccontextmanager
async def _following(bus: Bus, sessions: Sessions | None = None) -> AsyncIterator[Revocations]:
    revocations = Revocations(bus, CLOCK, sessions or Sessions(CLOCK))
    task = asyncio.create_task(revocations.follow())
    try:
        await _until(lambda: revocations.fresh)
        yield revocations
    finally:
        task.cancel()


async def _until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not so():  # noqa: ASYNC110 - the broker tells another task
            await asyncio.sleep(0.01)


async def test_a_revocation_is_heard_and_lifted(bus: Bus) -> None:
    """Who is revoked is refused until reinstated; nobody else is."""
    writer = RevocationWriter(bus, CLOCK)
    async with _following(bus) as revocations:
        revocations.check(ADA)
        await writer.revoke(ADA.kind, ADA.name)
        await _until(lambda: revocations.revoked(ADA))

        with pytest.raises(Unauthenticated) as refused:
            revocations.check(ADA)
        assert refused.value.reason == "CREDENTIALS_REVOKED"
        revocations.check(APP)
        await writer.reinstate(ADA.kind, ADA.name)
        await _until(lambda: not revocations.revoked(ADA))
        revocations.check(ADA)


async def test_a_key_is_revoked_without_its_program(bus: Bus) -> None:
    """Another key of the same program goes on."""
    async with _following(bus) as revocations:
        await RevocationWriter(bus, CLOCK).revoke(API_KEY, "k-1")
        await _until(lambda: revocations.revoked(APP))

        revocations.check(Principal(Kind.PROGRAM, "app", credential="k-2"))


async def test_who_starts_later_knows_it(bus: Bus) -> None:
    """A process that starts reads all revocations before it believes anybody."""
    await RevocationWriter(bus, CLOCK).revoke(ADA.kind, ADA.name)
    async with _following(bus) as revocations:
        assert revocations.revoked(ADA)


async def test_an_unreadable_revocation_refuses(bus: Bus) -> None:
    """What nobody can read still names by its subject who is refused."""
    await bus.publish(subjects.revocation("person", ADA.name), b"?", {})
    async with _following(bus) as revocations:
        assert revocations.revoked(ADA)


async def test_running_calls_end(bus: Bus) -> None:
    """A call that runs ends with a reason when its caller is revoked, and others go on."""
    sessions = Sessions(CLOCK)
    other = asyncio.create_task(_call(sessions, APP))
    async with _following(bus, sessions):
        call = asyncio.create_task(_call(sessions, ADA))
        await asyncio.sleep(0)
        await RevocationWriter(bus, CLOCK).revoke(ADA.kind, ADA.name)

        with pytest.raises(Unauthenticated) as ended:
            await asyncio.wait_for(call, TIMEOUT_S)
    assert ended.value.reason == "CREDENTIALS_REVOKED"
    assert not other.done()
    other.cancel()


async def _call(sessions: Sessions, principal: Principal) -> None:
    async with sessions.opened(principal):
        await asyncio.Event().wait()


async def test_nobody_is_believed_without_fresh_news(bus: Bus) -> None:
    """Before the first answer, and five seconds after the last one, every token is refused as unavailable."""
    clock = FakeClock()
    revocations = Revocations(bus, clock, Sessions(clock))
    with pytest.raises(Unavailable) as refused:
        revocations.check(ADA)
    assert refused.value.reason == "REVOCATIONS_UNKNOWN"
    task = asyncio.create_task(revocations.follow())
    await _until(lambda: revocations.fresh)
    task.cancel()
    revocations.check(ADA)
    await clock.advance(FRESH_S + 0.1)

    with pytest.raises(Unavailable):
        revocations.check(ADA)


async def test_a_call_ends_with_its_token() -> None:
    """A call runs no longer than the token that it came with."""
    sessions = Sessions(CLOCK)
    ada = Principal(Kind.PERSON, "ada", expire_time=CLOCK.now() + timedelta(milliseconds=20))

    with pytest.raises(Unauthenticated) as ended:
        await _call(sessions, ada)
    assert ended.value.reason == "CREDENTIALS_EXPIRED"


async def test_a_time_limit_within_a_call_stays_one() -> None:
    """A handler's own time-out is no end of the session."""
    with pytest.raises(TimeoutError):
        async with Sessions(CLOCK).opened(ADA):
            raise TimeoutError
