"""A token is looked at once for many calls, and not a moment longer than it holds."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from maasloop.core.clock import FakeClock
from maasloop.core.errors import Unauthenticated
from maasloop.identity.principals import Kind, Principal
from maasloop.identity.remembering import REMEMBERED_S, TOKENS_MAX, Remembering


@dataclass
class Issuer:
    """Counts what it is asked."""

    principal: Principal
    asked: list[str] = field(default_factory=list)

    async def identify(self, bearer: str) -> Principal:
        """Believe every token but an empty one."""
        self.asked.append(bearer)
        if not bearer:
            raise Unauthenticated("CREDENTIALS_INVALID", "nobody")
        return replace(self.principal, name=bearer)


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="issuer")
def _issuer(clock: FakeClock) -> Issuer:
    return Issuer(Principal(Kind.PERSON, "", expire_time=clock.now() + timedelta(seconds=100)))


@pytest.fixture(name="remembering")
def _remembering(issuer: Issuer, clock: FakeClock) -> Remembering:
    return Remembering(issuer.identify, clock)


async def test_one_of_many_calls_asks(remembering: Remembering, issuer: Issuer, clock: FakeClock) -> None:
    """Each token has its own answer, which is asked for again after a while."""
    for _ in range(3):
        assert (await remembering.principal("ada")).name == "ada"
        assert (await remembering.principal("bo")).name == "bo"
    assert issuer.asked == ["ada", "bo"]

    await clock.advance(REMEMBERED_S)
    assert (await remembering.principal("ada")).name == "ada"
    assert issuer.asked == ["ada", "bo", "ada"]


async def test_an_ended_token_is_asked_about(remembering: Remembering, issuer: Issuer, clock: FakeClock) -> None:
    """What ends within the time is not believed beyond its end."""
    await clock.advance(99)
    await remembering.principal("ada")
    await clock.advance(1)
    await remembering.principal("ada")
    assert issuer.asked == ["ada", "ada"]


async def test_a_refusal_is_not_remembered(remembering: Remembering, issuer: Issuer) -> None:
    """Who is refused is asked about each time."""
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await remembering.principal("")
    assert issuer.asked == ["", ""]


async def test_memory_is_bounded(remembering: Remembering, issuer: Issuer) -> None:
    """A flood of good tokens pushes out the one asked about longest ago."""
    for number in range(TOKENS_MAX + 1):
        await remembering.principal(f"t{number}")
        await remembering.principal("t1")
    issuer.asked.clear()
    await remembering.principal("t1")
    await remembering.principal("t0")
    assert issuer.asked == ["t0"]
