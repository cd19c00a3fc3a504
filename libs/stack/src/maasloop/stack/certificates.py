"""The certificates of a local stack: made at its first start, renewed as long as it runs, never leaving the machine."""

from collections.abc import Callable
from pathlib import Path

from maasloop.core.clock import Clock
from maasloop.identity.certificates import DevelopmentCertificates, Holder, TlsFiles
from maasloop.identity.principals import Kind, Principal
from maasloop.stack.servers.databases import SERVICES

OPERATOR = "operator"
NATS = "nats"
RENEWAL_INTERVAL_S = 900.0
"""Pause between two looks for certificates that have less than a third of their day left."""

HOLDERS = (
    *(Holder(service, Principal(Kind.SERVICE, service)) for service in SERVICES),
    # Whoever may read the file works on this machine: the command line, the demo, tests.
    Holder(OPERATOR, Principal(Kind.OPERATOR, "local"), hosts=()),
    Holder(NATS),
)


class StackCertificates:
    """Makes and renews them. Task: ``renew``, which calls ``renewed`` with the names of holders."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        """Keep them in ``directory``."""
        self._made = DevelopmentCertificates(directory, clock)
        self._clock = clock

    @property
    def operator(self) -> TlsFiles:
        """The files of whoever works on this machine."""
        return self.files(OPERATOR)

    def files(self, name: str) -> TlsFiles:
        """Return the files of a service, of ``nats`` or of the operator."""
        return self._made.files(name)

    def ensure(self) -> list[str]:
        """Make what is missing or due."""
        return self._made.ensure(HOLDERS)

    def reissue(self) -> list[str]:
        """Make all of them anew, due or not."""
        return self._made.reissue(HOLDERS)

    async def renew(self, renewed: Callable[[list[str]], None]) -> None:
        """Renew for ever what is due; services take up the files by themselves."""
        while True:
            await self._clock.sleep(RENEWAL_INTERVAL_S)
            if names := self.ensure():
                renewed(names)
