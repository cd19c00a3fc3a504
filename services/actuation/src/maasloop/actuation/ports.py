"""What the handlers need from outside."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .domain.approval import Approval
from .domain.batch import Batch
from .domain.command import Command, State
from .domain.override import Override
from .domain.policy import Conditions, Policy
from .domain.signal_decision import SignalDecision


class Ledger(Protocol):
    """Where state and events become durable together; one writer, group commits."""

    def commit(self, batch: Batch, *, urgent: bool = True) -> Awaitable[None]:
        """Take the batch at once, in the order of calls; what is returned ends when it is durable.

        It is tried again until it is. What is not urgent may wait for company.
        """
        ...

    def defer(self, batch: Batch) -> None:
        """Make the batch durable with the next commit, or by itself soon."""
        ...


class Downlink(Protocol):
    """The driver of devices."""

    async def send(self, command: Command) -> None:
        """Hand a command to its device; best effort: whether it arrived shows by the answer and the effect."""
        ...


@dataclass(frozen=True, slots=True)
class CommandPage:
    """Commands from newest to oldest; ``last`` is where the next page begins, or nothing."""

    commands: Sequence[Command]
    last: tuple[int, str] | None


@dataclass(frozen=True, slots=True)
class ShadowCounts:
    """What a policy in shadow mode would have done."""

    switched_on: int
    switched_off: int
    commands: int
    refusals: dict[str, int]


class Records(Protocol):
    """Reads of what is durable."""

    async def command(self, district: str, command: str) -> Command | None:
        """Return a command, open or terminal."""
        ...

    async def commands(
        self, district: str, *, device: str, state: State | None, after: tuple[int, str] | None, limit: int
    ) -> CommandPage:
        """Return a page of commands, newest first."""
        ...

    async def override(self, district: str, override: str) -> Override | None:
        """Return an override."""
        ...

    async def overrides(self, district: str, *, after: tuple[int, int, str] | None, limit: int) -> Sequence[Override]:
        """Return overrides: those that were not ended first, and of them those that end last."""
        ...

    async def shadow_counts(self, policy: str, start_us: int, end_us: int) -> ShadowCounts:
        """Count what the journal says about a policy in shadow mode in [start, end)."""
        ...

    async def signal_decisions_near(self, district: str, street_second: int) -> dict[int, dict[str, SignalDecision]]:
        """Return, by second and device, what was decided last up to a second, and first from it on."""
        ...


class Approvals(Protocol):
    """Where requests wait for a second person."""

    async def add(self, approval: Approval) -> Approval:
        """Store a request, or return the one of that id."""
        ...

    async def get(self, district: str, approval: str) -> Approval | None:
        """Return a request."""
        ...

    async def grant(self, approval: Approval) -> bool:
        """Write down who agreed, unless somebody else did; tell whether it holds."""
        ...

    async def newest(self, district: str, *, after: tuple[int, str] | None, limit: int) -> Sequence[Approval]:
        """Return requests, newest first."""
        ...


class PolicyStore(Protocol):
    """Where policies are kept, every version of them."""

    async def create(self, policy: Policy) -> Policy:
        """Store a first version; the same one again gives the stored one. ``AlreadyExists`` for another."""
        ...

    async def replace(self, policy: Policy, *, etag: str) -> Policy:
        """Store a next version if the etag still holds. ``Conflict`` where it does not."""
        ...

    async def all(self) -> Sequence[Policy]:
        """Return the newest version of every policy."""
        ...


__all__ = ["Approvals", "CommandPage", "Conditions", "Downlink", "Ledger", "PolicyStore", "Records", "ShadowCounts"]
